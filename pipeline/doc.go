// Package pipeline moves values from a [Source] through a [Stage] and, in batches, through a [BatchStage] to one or
// more sinks, at least once, in order, in bounded memory. It knows nothing of Kafka, sensors or networks: a transport
// implements Source and Sink, the work implements the stages.
//
// # The contract
//
// A value travels in a [Delivery], which carries two duties. Free gives the bytes it occupies back to the [Budget];
// Settle reports what became of it, takes effect once, and frees too. Whoever holds a delivery must settle it or hand
// it on; [Carry], [Split] and [Join] hand duties on when a value changes, becomes many, or becomes part of a batch.
// After Free or Settle nobody touches the value.
//
// An outcome is one of three:
//
//	nil               durable at every required sink: the source may move past it
//	[Permanent] error would fail again: the source makes it a dead letter with the reason, then moves past it
//	any other error   unfinished: the source must not move past it, and delivers it again after a restart
//
// Stages and sinks never see duties. They return errors, [Pipeline] retries what is not permanent, and only when the
// attempts are used up does it settle: as a dead letter or, where it shall stop instead, as unfinished and with an
// error from Run. Leaving one value unsettled and going on would hold back every later commit, in silence; Run never
// does that.
//
// # Several sinks
//
// Each [Output] has a queue and retries of its own. Every output gets every result. A value settles when all required
// outputs have it durable or have refused it for good, with the worst of their outcomes: what one sink refuses is a
// dead letter that names the sink, and the others have it all the same. A best-effort output holds nothing back: what
// it cannot take is dropped and counted. A sink that is a [Flusher] makes many writes durable at once; until then
// their deliveries are held back.
//
// # Order and parallelism
//
// Stage.Process runs on Workers goroutines, but what it returns leaves in the order of arrival, so the order within a
// key (and within a Kafka partition) is kept however long single values take. The price is that a slow value holds
// back those behind it; the gain is that one stream uses every worker. Batches are worked on one after the other, and
// each sink gets them in that order; the next batch is worked on while the sinks write the last.
//
// # Bounds
//
// Bytes in flight are bounded by the [Budget], which the source acquires before it hands a value out, and which is
// given back when the result is made. Values in flight are bounded by the source's offset tracker, which is also the
// most that a crash repeats, and by the queues of the outputs. Every wait takes a context.
//
// # Stopping
//
// Cancelling Run's context is the soft stop: reading ends, workers finish, the last batches are written and flushed,
// sinks and source close, in that order, so that the last offsets are committed. What outlives the drain time stays
// unsettled and is delivered again. Closing Abort is the hard stop: everything in flight is left unsettled at once. A
// hard stop repeats work; it never loses any.
package pipeline
