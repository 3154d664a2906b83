// The models: which one classifies, which others could, and the change from one to another.
import { useState } from "preact/hooks";
import { getJSON, postJSON } from "../api.ts";
import { usePoll } from "../hooks.ts";
import type { Model, Models } from "../shapes.ts";
import { Empty, Failure, Pane } from "../ui/controls.tsx";
import { Confirm } from "../ui/dialog.tsx";
import { count, plural } from "../ui/format.ts";

interface Question {
  title: string;
  verb: string;
  text: string;
  act: () => Promise<void>;
}

export default function ModelsView() {
  const polled = usePoll((signal) => getJSON<Models>("api/models", signal), 5000);
  const [question, setQuestion] = useState<Question | null>(null);
  const [done, setDone] = useState("");
  const list = polled.data;
  if (!list) return polled.error ? <Failure error={polled.error} /> : null;
  const named = (m: { name: string; version: string }) => `${m.name}, version ${m.version}`;
  const change = (title: string, verb: string, text: string, path: string, body: object, said: string) =>
    setQuestion({
      title,
      verb,
      text,
      act: async () => {
        await postJSON(path, body);
        setDone(said);
        polled.again();
      },
    });
  const { previous } = list;
  return (
    <div class="view-models">
      <Failure error={polled.error} />
      <p class="done" role="status">
        {done}
      </p>
      {previous ? (
        <div class="banner">
          <p>
            Before this, <b>{named(previous)}</b> classified.
          </p>
          <button
            type="button"
            onClick={() =>
              change(
                `Roll back to ${named(previous)}?`,
                "Roll back",
                "It classifies the next volumes. Those that were classified keep their classifications.",
                "api/models/rollback",
                {},
                `${named(previous)} classifies again.`,
              )
            }
          >
            Roll back
          </button>
        </div>
      ) : null}
      {list.models.length === 0 ? (
        <Empty title="No model">
          Name one with <code>--model</code>, or a folder of models with <code>model.folder</code>.
        </Empty>
      ) : (
        <div class="cards">
          {list.models.map((m) => (
            <Card
              key={`${m.name}/${m.version}/${m.digest}`}
              m={m}
              onSwitch={() =>
                change(
                  `Switch to ${named(m)}?`,
                  "Switch",
                  "The model is loaded, checked and warmed up. Then it classifies the next volumes. No volume is lost.",
                  "api/models/switch",
                  { name: m.name, version: m.version },
                  `${named(m)} classifies from now on.`,
                )
              }
            />
          ))}
        </div>
      )}
      {question ? (
        <Confirm title={question.title} verb={question.verb} act={question.act} onClose={() => setQuestion(null)}>
          <p>{question.text}</p>
        </Confirm>
      ) : null}
    </div>
  );
}

function Card({ m, onSwitch }: { m: Model; onSwitch: () => void }) {
  const facts: [string, string | undefined][] = [
    ["Volumes", m.size ? `${m.size.join("×")} cells` : undefined],
    ["Input", m.input ?? m.values],
    ["Colour map", m.colormap],
    ["Classes", m.classes?.length ? m.classes.join(", ") : undefined],
    ["Parameters", m.parameters === undefined ? undefined : count(m.parameters)],
    ["File", m.bytes === undefined ? undefined : plural(m.bytes, "byte")],
    ["SHA-256", m.digest],
  ];
  return (
    <Pane
      title={m.name}
      class={m.current ? "current" : ""}
      note={`version ${m.version}`}
      tools={
        m.current ? (
          <span class="tag good">in use</span>
        ) : m.error ? (
          <span class="tag bad">cannot be used</span>
        ) : (
          <button type="button" aria-label={`Switch to ${m.name}, version ${m.version}`} onClick={onSwitch}>
            Switch
          </button>
        )
      }
    >
      <div class="body">
        <Failure error={m.error ? new Error(m.error) : null} />
        <dl class="details">
          {facts.map(([k, v]) =>
            v ? (
              <div key={k}>
                <dt>{k}</dt>
                <dd class={k === "SHA-256" ? "digest" : undefined}>{v}</dd>
              </div>
            ) : null,
          )}
        </dl>
      </div>
    </Pane>
  );
}
