// Dead letters: why, what, and another attempt.
import { useEffect, useState } from "preact/hooks";
import { getJSON, postJSON } from "../../api.ts";
import { usePoll } from "../../hooks.ts";
import type { DeadLetter, DeadLetterDetail, DeadLetters as List } from "../../shapes.ts";
import { Failure, Pane } from "../../ui/controls.tsx";
import { Confirm } from "../../ui/dialog.tsx";
import { clock, count, plural } from "../../ui/format.ts";

// DeadLetters lists the newest dead letters. The list is fetched again when their known number changes.
export function DeadLetters({ known }: { known: number }) {
  const list = usePoll((signal) => getJSON<List>("api/dead-letters?limit=100", signal), 30_000, [known]);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [open, setOpen] = useState<string | null>(null);
  const [asking, setAsking] = useState<DeadLetter[] | null>(null);
  const [done, setDone] = useState("");
  const letters = list.data?.letters ?? [];
  const able = letters.filter((l) => l.topic);
  const picked = able.filter((l) => chosen.has(l.id));
  const toggle = (id: string, on: boolean) => {
    const next = new Set(chosen);
    if (on) next.add(id);
    else next.delete(id);
    setChosen(next);
  };
  if (!list.data && !list.error) return null;
  return (
    <Pane
      title="Dead letters"
      note={letters.length ? `${plural(letters.length, "letter")}${list.data?.more ? ", the newest" : ""}` : ""}
      tools={
        able.length ? (
          <button type="button" disabled={picked.length === 0} onClick={() => setAsking(picked)}>
            Replay {picked.length ? count(picked.length) : ""}
          </button>
        ) : null
      }
    >
      <div class="body">
        <Failure error={list.error} />
        <p class="done" role="status">
          {done}
        </p>
        {letters.length === 0 ? (
          <p class="note">There are none: every message was classified and stored.</p>
        ) : (
          <div class="scroll" tabIndex={0} role="group" aria-label="Dead letters">
            <table class="table letters">
              <thead>
                <tr>
                  <th scope="col">
                    {able.length ? (
                      <input
                        type="checkbox"
                        aria-label="All"
                        checked={picked.length === able.length}
                        onChange={(e) => setChosen(new Set(e.currentTarget.checked ? able.map((l) => l.id) : []))}
                      />
                    ) : null}
                  </th>
                  <th scope="col">Event</th>
                  <th scope="col">Stage</th>
                  <th scope="col">Reason</th>
                  <th scope="col" class="number">
                    Attempts
                  </th>
                  <th scope="col">Time</th>
                  <th scope="col" />
                </tr>
              </thead>
              <tbody>
                {letters.map((l) => (
                  <Row
                    key={l.id}
                    letter={l}
                    chosen={chosen.has(l.id)}
                    open={open === l.id}
                    onChoose={(on) => toggle(l.id, on)}
                    onOpen={() => setOpen(open === l.id ? null : l.id)}
                    onReplay={() => setAsking([l])}
                  />
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
      {asking ? (
        <Confirm
          title={`Replay ${plural(asking.length, "dead letter")}?`}
          verb="Replay"
          onClose={() => setAsking(null)}
          act={async () => {
            const r = await postJSON<{ replayed: number }>("api/dead-letters/replay", { ids: asking.map((l) => l.id) });
            setDone(`${plural(r.replayed, "message")} sent back to the topic.`);
            setChosen(new Set());
            list.again();
          }}
        >
          <p>
            {asking.length === 1 ? "The message is" : "The messages are"} sent back to {topics(asking)} and classified
            again. Volumes that a sink has stored already are not stored twice.
          </p>
        </Confirm>
      ) : null}
    </Pane>
  );
}

const topics = (letters: DeadLetter[]): string => [...new Set(letters.map((l) => l.topic))].join(", ");

function Row(p: {
  letter: DeadLetter;
  chosen: boolean;
  open: boolean;
  onChoose: (on: boolean) => void;
  onOpen: () => void;
  onReplay: () => void;
}) {
  const l = p.letter;
  const name = l.event_id || l.input || l.id;
  return (
    <>
      <tr>
        <td>
          {l.topic ? (
            <input
              type="checkbox"
              aria-label={`Choose ${name}`}
              checked={p.chosen}
              onChange={(e) => p.onChoose(e.currentTarget.checked)}
            />
          ) : null}
        </td>
        <th scope="row">{name}</th>
        <td>{l.stage}</td>
        <td class="reason">{l.error}</td>
        <td class="number">{l.attempts}</td>
        <td class="when">{clock(l.time)}</td>
        <td class="actions">
          <button type="button" aria-expanded={p.open} aria-label={`Details of ${name}`} onClick={p.onOpen}>
            Details
          </button>
          {l.topic ? (
            <button type="button" aria-label={`Replay ${name}`} onClick={p.onReplay}>
              Replay
            </button>
          ) : null}
        </td>
      </tr>
      {p.open ? (
        <tr class="detail">
          <td colSpan={7}>
            <Detail letter={l} />
          </td>
        </tr>
      ) : null}
    </>
  );
}

function Detail({ letter }: { letter: DeadLetter }) {
  const [detail, setDetail] = useState<DeadLetterDetail | null>(null);
  const [error, setError] = useState<Error | null>(null);
  useEffect(() => {
    const abort = new AbortController();
    getJSON<DeadLetterDetail>(`api/dead-letters/${letter.id.replace(":", "/")}`, abort.signal).then(setDetail, (e: Error) => {
      if (!abort.signal.aborted) setError(e);
    });
    return () => abort.abort();
  }, [letter.id]);
  const facts: [string, string | undefined][] = [
    ["Reason", letter.error],
    ["Read from", letter.topic ? `${letter.topic} ${letter.at ?? ""}` : letter.input],
    ["Size", plural(letter.bytes, "byte")],
    ["Key", detail?.key],
    ...Object.entries(detail?.headers ?? {}).filter(([k]) => !k.startsWith("dlq-")),
    ["Content", detail?.preview],
  ];
  return (
    <>
      <Failure error={error} />
      <dl class="details">
        {facts.map(([k, v]) =>
          v ? (
            <div key={k}>
              <dt>{k}</dt>
              <dd>{v}</dd>
            </div>
          ) : null,
        )}
      </dl>
    </>
  );
}
