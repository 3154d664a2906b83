// Package pipeline moves values from a [Source] through a [Stage] and, in batches, through a [BatchStage] to one or
// more sinks. It delivers at least once, keeps the order, and uses bounded memory. It knows nothing about Kafka,
// sensors or networks: transports implement Source and Sink, and applications implement the stages.
//
// # Deliveries
//
// A value travels in a [Delivery], which carries two duties. Free returns the value's bytes to the [Budget]. Settle
// reports its outcome once, and frees it too. The holder of a delivery must settle it or pass it on. [Carry], [Split]
// and [Join] pass the duties on when a value changes, becomes several values, or joins a batch. The value must not be
// used after Free or Settle.
//
// There are three outcomes:
//
//	nil               durable at every required sink: the source may move past it
//	[Permanent] error would fail again: the source makes it a dead letter with the reason, then moves past it
//	any other error   unfinished: the source must not move past it, and delivers it again after a restart
//
// Stages and sinks do not see duties. They return errors, and [Pipeline] retries those that are not permanent. When the
// attempts are used up, the value becomes a dead letter, or Run leaves it unfinished, stops and returns an error. Run
// never continues past an unfinished value, because that would silently hold back all later commits.
//
// # Several sinks
//
// Every [Output] receives every result and has its own queue and retries. A value settles when every required output
// has stored or permanently rejected it, with the worst of their outcomes. A value that one sink rejects becomes a dead
// letter that names the sink; the other sinks still store it. A best-effort output delays nothing: values that it
// cannot accept are dropped and counted. A [Flusher] makes many writes durable at once, and their deliveries settle
// then.
//
// # Order and parallelism
//
// Stage.Process runs on Workers goroutines, but results leave in the order of arrival, so values with the same key, or
// from the same Kafka partition, stay in order. One stream can therefore use every worker, but a slow value delays the
// values after it. Up to Parallel batches are processed at once, and every sink receives them in order. Processing
// overlaps with writing earlier batches.
//
// # Bounds
//
// The [Budget] bounds the bytes in flight. A source acquires them before it delivers a value, and they are returned
// when the result is ready. The offset tracker of the source and the queues of the outputs bound the number of values
// in flight. The tracker's limit is also the maximum number of values that are processed again after a crash. Every
// wait takes a context.
//
// # Stopping
//
// Cancelling Run's context is a soft stop: reading ends, workers finish, the last batches are written and flushed,
// and sinks and source close, in that order, so that the last offsets are committed. Values that are not done within
// the drain time stay unsettled and are delivered again. Closing Abort is a hard stop: everything in flight stays
// unsettled. A hard stop repeats work but loses none.
package pipeline
