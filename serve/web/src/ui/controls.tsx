// The form controls of all views. Each has a visible label.
import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";
import { Icon, type IconName } from "./icons.tsx";

export function Slider(p: {
  label: string;
  value: number;
  min: number;
  max: number;
  step?: number;
  text?: string; // what the value means; the value itself by default
  onInput: (v: number) => void;
}) {
  const id = useId();
  const text = p.text ?? String(p.value);
  return (
    <div class="field">
      <label for={id}>{p.label}</label>
      <output for={id}>{text}</output>
      <input
        id={id}
        type="range"
        min={p.min}
        max={p.max}
        step={p.step ?? 1}
        value={p.value}
        aria-valuetext={text}
        onInput={(e) => p.onInput(e.currentTarget.valueAsNumber)}
      />
    </div>
  );
}

export interface Option<T extends string> {
  value: T;
  text: string;
}

export function Select<T extends string>(p: {
  label: string;
  value: T;
  options: readonly Option<T>[];
  hideLabel?: boolean;
  onChange: (v: T) => void;
}) {
  const id = useId();
  return (
    <div class="field">
      <label for={id} class={p.hideLabel ? "sr" : undefined}>
        {p.label}
      </label>
      <select id={id} value={p.value} onChange={(e) => p.onChange(e.currentTarget.value as T)}>
        {p.options.map((o) => (
          <option key={o.value} value={o.value} selected={o.value === p.value}>
            {o.text}
          </option>
        ))}
      </select>
    </div>
  );
}

export function Toggle(p: { label: string; value: boolean; onChange: (v: boolean) => void }) {
  return (
    <label class="toggle">
      <input type="checkbox" checked={p.value} onChange={(e) => p.onChange(e.currentTarget.checked)} />
      <span>{p.label}</span>
    </label>
  );
}

export function Segmented<T extends string>(p: {
  label: string;
  value: T;
  options: readonly (Option<T> & { icon?: IconName })[];
  onChange: (v: T) => void;
}) {
  const name = useId();
  return (
    <fieldset class="segmented">
      <legend class="sr">{p.label}</legend>
      {p.options.map((o) => (
        <label key={o.value} title={o.text}>
          <input
            type="radio"
            name={name}
            value={o.value}
            checked={o.value === p.value}
            onChange={() => p.onChange(o.value)}
          />
          {o.icon ? <Icon name={o.icon} /> : null}
          <span class={o.icon ? "sr" : undefined}>{o.text}</span>
        </label>
      ))}
    </fieldset>
  );
}

export function IconButton(p: {
  icon: IconName;
  label: string;
  pressed?: boolean;
  disabled?: boolean;
  primary?: boolean;
  onClick: () => void;
}) {
  return (
    <button
      type="button"
      class={p.primary ? "iconbutton primary" : "iconbutton"}
      aria-label={p.label}
      title={p.label}
      aria-pressed={p.pressed}
      disabled={p.disabled}
      onClick={p.onClick}
    >
      <Icon name={p.icon} />
    </button>
  );
}

// Pane is a titled part of a view. Tools are on the right of the title.
export function Pane(p: {
  title: string;
  class?: string;
  note?: ComponentChildren;
  tools?: ComponentChildren;
  children: ComponentChildren;
}) {
  const id = useId();
  return (
    <section class={`pane ${p.class ?? ""}`} aria-labelledby={id}>
      <header>
        <h2 id={id}>{p.title}</h2>
        {p.note ? <span class="note">{p.note}</span> : null}
        <div class="tools">{p.tools}</div>
      </header>
      {p.children}
    </section>
  );
}

// Settings is a button that opens a small panel of controls.
export function Settings(p: { label: string; children: ComponentChildren }) {
  return (
    <details
      class="settings"
      onKeyDown={(e) => {
        if (e.key !== "Escape") return;
        e.currentTarget.open = false;
        e.currentTarget.querySelector("summary")?.focus();
      }}
    >
      <summary aria-label={p.label} title={p.label}>
        <Icon name="sliders" />
      </summary>
      <div class="panel">{p.children}</div>
    </details>
  );
}

// Empty says why there is nothing to show, and what would change that.
export function Empty(p: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="title">{p.title}</p>
      <div>{p.children}</div>
    </div>
  );
}

export function Failure({ error }: { error: Error | null }) {
  return error ? (
    <p class="failure" role="alert">
      <Icon name="warning" /> {error.message}
    </p>
  ) : null;
}
