// The last classifications as a strip: height is confidence, colour is class.
import { useEffect, useRef } from "preact/hooks";
import { href } from "../route.ts";
import { classColours } from "../scene/palette.ts";
import type { Result } from "../streams.ts";
import { Pane } from "./controls.tsx";
import { percent } from "./format.ts";

const hex = (k: number): string => "#" + classColours[Math.abs(k) % classColours.length]!.toString(16).padStart(6, "0");

const mostLetters = 12;

export function Strip({ results, most }: { results: Result[]; most: number }) {
  const list = useRef<HTMLUListElement>(null);
  const shown = results.slice(-most);
  const known = shown.filter((r) => r.truth !== null);
  const right = known.filter((r) => r.truth === r.said).length;
  // The columns are as wide as the longest name, up to a limit.
  const letters = Math.min(Math.max(2, ...shown.map((r) => r.said.length)), mostLetters);
  useEffect(() => {
    if (list.current) list.current.scrollLeft = list.current.scrollWidth;
  }, [results]);
  const note = `${shown.length === 1 ? "the newest" : `the newest ${shown.length}`}${known.length ? `, ${right} of ${known.length} agree with their labels` : ""}`;
  return (
    <Pane title="Classifications" class="strippane" note={shown.length ? note : undefined}>
      <ul
        class="strip"
        style={{ "--letters": letters }}
        ref={list}
        aria-label="The last classifications, the newest at the end"
        onKeyDown={(e) => {
          const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[e.key];
          if (!step) return;
          const all = [...e.currentTarget.querySelectorAll<HTMLElement>("a")];
          const to = Math.min(Math.max(all.indexOf(document.activeElement as HTMLElement) + step, 0), all.length - 1);
          all[to]?.focus();
          e.preventDefault();
          e.stopPropagation();
        }}
      >
        {shown.map((r, i) => {
          const c = r.classification;
          const wrong = r.truth !== null && r.truth !== r.said;
          const text = `${c.event_id}: ${r.said}, ${percent(c.score)}${wrong ? `, the label says ${r.truth}` : ""}${c.unfamiliar ? ", unfamiliar" : ""}`;
          const bar = (
            <>
              <span class="column" aria-hidden="true">
                <span style={{ height: `${Math.max(100 * c.score, 3)}%`, background: hex(c.class) }} />
              </span>
              <span class="class" aria-hidden="true">
                {r.said}
              </span>
              <span class="sr">{text}</span>
            </>
          );
          return (
            <li key={c.event_id + i} class={`${wrong ? "wrong" : ""}${c.unfamiliar ? " unfamiliar" : ""}`} title={text}>
              {r.offset ? (
                <a
                  href={href("history", { p: r.offset.partition, o: r.offset.offset })}
                  tabIndex={i === shown.length - 1 ? 0 : -1}
                >
                  {bar}
                </a>
              ) : (
                bar
              )}
            </li>
          );
        })}
      </ul>
    </Pane>
  );
}
