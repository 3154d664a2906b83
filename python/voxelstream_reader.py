"""Reads each classification on a topic once, with confluent-kafka.

    import json
    from voxelstream_reader import UniqueReader

    with UniqueReader({"bootstrap.servers": "127.0.0.1:9092", "group.id": "report"}, "classifications") as reader:
        for message in reader:
            print(json.loads(message.value()))
            reader.commit(message)

The header event-id identifies a classification. It depends on the volume and the model. The reader skips copies, also
if they are in another partition. The messages of a partition are in order, and so are those of a stream. When partitions
are added to the topic, streams may move to other partitions; their order across that moment is not known.

One reader reads all partitions of the topic; the group only stores offsets. At the start, it reads the last `window`
messages before the stored offset of each partition, to learn which events were processed. It remembers the latest
`window` events of each partition, at about 130 bytes each. The default of 100,000 takes 13 MB per partition.
"""
import hashlib
import time
from collections import deque

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

_PASSING = (
    KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)


class _Window:
    """The latest keys of a partition."""

    def __init__(self, size):
        self.size, self.order, self.keys = size, deque(), set()

    def __contains__(self, key):
        return key in self.keys

    def add(self, key):
        if key in self.keys:
            return
        self.keys.add(key)
        self.order.append(key)
        if len(self.order) > self.size:
            self.keys.discard(self.order.popleft())


class UniqueReader:
    """Iterates over the messages of a topic, each event once. With follow=False, it stops at the current end."""

    def __init__(self, conf, topic, window=100_000, follow=True, timeout=30.0):
        self.topic, self.window, self.follow, self.timeout = topic, window, follow, timeout
        self.consumer = Consumer({
            "auto.offset.reset": "earliest", **conf,
            # Offsets are stored by commit, after a message was processed.
            "enable.auto.commit": False, "enable.partition.eof": False,
        })
        self.start, self.seen, self.ends = {}, {}, {}
        self.looked = 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.consumer.close()

    def commit(self, message):
        """Records that a message and all messages before it in its partition were processed."""
        self.consumer.commit(message=message, asynchronous=False)

    def _again(self, request):
        """Repeats a request that fails for a temporary reason, such as a coordinator that is not ready yet."""
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                return request()
            except KafkaException as e:
                passes = e.args[0].retriable() or e.args[0].code() in _PASSING
                if not passes or time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def _stored(self, partitions):
        """Returns partitions with the offsets that the group has stored, or negative ones."""
        try:
            return self._again(lambda: self.consumer.committed(partitions, timeout=self.timeout))
        except KafkaException as e:
            # Apache Kafka has no such error for a new group, but the embedded broker does.
            if e.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise
            return partitions

    def _look(self):
        """Takes partitions that are new, and finds the present ends."""
        self.looked = time.monotonic()
        topic = self.consumer.list_topics(self.topic, timeout=self.timeout).topics[self.topic]
        if topic.error is not None:
            raise KafkaException(topic.error)
        new = [TopicPartition(self.topic, p) for p in topic.partitions if p not in self.seen]
        for at in self._stored(new) if new else []:
            low, _ = self.consumer.get_watermark_offsets(at, timeout=self.timeout)
            self.start[at.partition] = max(low, at.offset)  # without a stored offset it is negative
            self.seen[at.partition] = _Window(self.window)
            begin = self.start[at.partition] - self.window
            at.offset = begin if begin > low else OFFSET_BEGINNING
            self.consumer.incremental_assign([at])
        if not self.follow and not self.ends:
            for p in self.seen:
                self.ends[p] = self.consumer.get_watermark_offsets(TopicPartition(self.topic, p), timeout=self.timeout)[1]

    def _ended(self):
        """Reports whether every partition was read up to the end that it had at first."""
        if self.follow:
            return False
        at = self.consumer.position([TopicPartition(self.topic, p) for p in self.ends])
        behind = [p for p in at if self.ends[p.partition] > 0 and p.offset < self.ends[p.partition]]
        return not behind

    def __iter__(self):
        while True:
            if time.monotonic() - self.looked > 5 or not self.looked:
                self._look()
            message = self.consumer.poll(0.5)
            if message is None:
                if self._ended():
                    return
                continue
            if message.error():
                if message.error().code() == KafkaError._PARTITION_EOF or message.error().retriable():
                    continue
                raise KafkaException(message.error())
            if self._is_new(message) and message.offset() >= self.start[message.partition()]:
                yield message

    def _is_new(self, message):
        name = dict(message.headers() or {}).get("event-id")
        if not name:
            name = f"{message.topic()}/{message.partition()}/{message.offset()}".encode()
        key = hashlib.sha256(name).digest()[:16]
        known = any(key in seen for seen in self.seen.values())
        self.seen[message.partition()].add(key)
        return not known
