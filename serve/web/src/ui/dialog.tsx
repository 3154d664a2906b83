// A question before something that changes what runs.
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { Failure } from "./controls.tsx";

// Confirm asks, and stays open with the reason if act fails.
export function Confirm(p: {
  title: string;
  verb: string; // the text of the button: "Replay"
  act: () => Promise<void>;
  onClose: () => void;
  children: ComponentChildren;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  useEffect(() => {
    const before = document.activeElement;
    dialog.current!.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  const go = async () => {
    setBusy(true);
    setError(null);
    try {
      await p.act();
      dialog.current?.close();
    } catch (e) {
      setError(e as Error);
      setBusy(false);
    }
  };
  return (
    <dialog ref={dialog} class="dialog" aria-labelledby={id} onClose={p.onClose}>
      <h2 id={id}>{p.title}</h2>
      <div class="text">{p.children}</div>
      <Failure error={error} />
      <div class="buttons">
        <button type="button" onClick={() => dialog.current?.close()}>
          Cancel
        </button>
        <button type="button" class="primary" disabled={busy} onClick={() => void go()}>
          {busy ? "Please wait …" : p.verb}
        </button>
      </div>
    </dialog>
  );
}
