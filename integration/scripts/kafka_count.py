"""Reads topics with confluent-kafka and counts what is lost, repeated and out of order.

Standard input: {"brokers", "classifications", "dead_letters", "required": [ID...], "optional": [ID...],
"dead": [ID...], "dead_optional": [ID...], "since": seconds, "streams": {STREAM: COUNT}}. An event ID is STREAM/NUMBER;
all numbers below COUNT of the streams are required too, which takes a byte for each.
Standard output: one JSON object with the counts.
"""

import collections
import json
import sys

import confluent_kafka as ck


def read(brokers, topic):
    """Yields the records of a topic up to its present end, as a consumer of committed records sees them."""
    consumer = ck.Consumer({
        "bootstrap.servers": brokers, "group.id": "count", "enable.auto.commit": False, "check.crcs": True,
        "isolation.level": "read_committed", "enable.partition.eof": True, "auto.offset.reset": "earliest",
    })
    try:
        found = consumer.list_topics(topic, timeout=60).topics[topic]
        if found.error is not None:
            return
        left = set(found.partitions)
        consumer.assign([ck.TopicPartition(topic, p, ck.OFFSET_BEGINNING) for p in left])
        while left:
            record = consumer.poll(60)
            if record is None:
                raise SystemExit(f"kafka_count: {topic}: nothing for 60 s, partitions {sorted(left)}")
            if record.error() is None:
                yield record
            elif record.error().code() == ck.KafkaError._PARTITION_EOF:
                left.discard(record.partition())
            else:
                print(f"kafka_count: {record.error()}", file=sys.stderr)
    finally:
        consumer.close()


def header(record, name):
    """The first header with a name, or ""."""
    return next((v.decode() for k, v in record.headers() or [] if k == name and v), "")


class Gap:
    """The longest time between two records of which the later is after a time."""

    def __init__(self, since):
        self.since, self.times = since, set()

    def add(self, time):
        """Adds a record, to a hundredth of a second."""
        self.times.add(round(time, 2))

    def longest(self):
        """The result."""
        times = sorted(self.times)
        return max((b - a for a, b in zip(times, times[1:]) if b > self.since), default=0.0)


class Streams:
    """Counts the numbers of streams that are required completely."""

    def __init__(self, counts):
        self.times = {stream: bytearray(count) for stream, count in counts.items()}

    def add(self, stream, number):
        """Counts a number, and says how often it was there before; None if it is not required."""
        times = self.times.get(stream)
        if times is None or number >= len(times):
            return None
        times[number] = min(times[number] + 1, 255)
        return times[number] - 1

    def lost(self):
        """The IDs that are missing."""
        for stream, times in self.times.items():
            at = times.find(0)
            while at >= 0:
                yield f"{stream}/{at}"
                at = times.find(0, at + 1)

    def repeated(self):
        """How many are too many."""
        return sum(n - 1 for times in self.times.values() for n in times if n > 1)


def count(records, required, optional):
    """Counts by event ID."""
    times = collections.Counter(records)
    return {
        "lost": sum(1 for i in required if i not in times),
        "repeated": sum(n - 1 for n in times.values()),
        "unknown": sum(1 for i in times if i not in required and i not in optional),
        "lost_ids": [i for i in sorted(required) if i not in times][:5],
        "repeated_ids": [i for i in sorted(times) if times[i] > 1][:5],
        "unknown_ids": [i for i in sorted(times) if i not in required and i not in optional][:5],
    }


def main():
    """Reads the topics and prints the counts."""
    job = json.load(sys.stdin)
    streams = Streams(job.get("streams", {}))
    ids, records, reordered, last, seen = [], 0, 0, {}, set()
    when, per_source = Gap(job["since"]), collections.defaultdict(lambda: Gap(job["since"]))
    for record in read(job["brokers"], job["classifications"]):
        records += 1
        event = header(record, "event-id").partition("@")[0]
        if json.loads(record.value())["event_id"] != event:
            raise SystemExit(f"kafka_count: {event} is {record.value()[:200]}")
        time = record.timestamp()[1] / 1000
        when.add(time)
        per_source[header(record, "volume").partition("/")[0]].add(time)
        stream, _, number = event.rpartition("/")
        before = streams.add(stream, int(number))
        if before is None:
            ids.append(event)
            before = event in seen
            seen.add(event)
        if before:
            continue
        place = (record.partition(), stream)
        if int(number) < last.get(place, -1):
            reordered += 1
        last[place] = max(last.get(place, -1), int(number))
    result = count(ids, set(job["required"]), set(job["optional"]))
    lost = list(streams.lost())
    result["lost"] += len(lost)
    result["lost_ids"] += lost[:5]
    result["repeated"] += streams.repeated()
    result["records"], result["reordered"] = records, reordered
    result["gap"] = when.longest()
    result["partition_gap"] = max((gap.longest() for gap in per_source.values()), default=0.0)
    dead = [header(r, "event-id") for r in read(job["brokers"], job["dead_letters"])]
    result["dead"] = count(dead, set(job["dead"]), set(job["dead_optional"]))
    json.dump(result, sys.stdout)


main()
