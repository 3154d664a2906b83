import { Component, type ComponentChildren, type ComponentType } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { api } from "./api.ts";
import { usePoll, useSignal } from "./hooks.ts";
import { link } from "./link.ts";
import { href, route } from "./route.ts";
import { theme, type Theme } from "./theme.ts";
import { Empty, Segmented } from "./ui/controls.tsx";
import { Icon } from "./ui/icons.tsx";
import { views, type View } from "./views/index.ts";

const themes = [
  { value: "system", text: "Theme of the system", icon: "system" },
  { value: "light", text: "Light", icon: "sun" },
  { value: "dark", text: "Dark", icon: "moon" },
] as const;

// App is the frame of all views: navigation, connection and theme.
export function App() {
  const status = usePoll(api.status, 10_000);
  const at = useSignal(route);
  const chosen = useSignal(theme);
  const shown = views.filter((v) => !status.data?.views || status.data.views.includes(v.id) || v.id === at.view);
  const view = views.find((v) => v.id === at.view) ?? shown[0] ?? views[0]!;
  const main = useRef<HTMLElement>(null);
  const before = useRef(view.id);

  useEffect(() => {
    document.title = `${view.title} · Voxelstream`;
    if (before.current !== view.id) main.current?.focus();
    before.current = view.id;
  }, [view.id]);

  return (
    <>
      <a class="skip" href={href(view.id)} onClick={(e) => (e.preventDefault(), main.current?.focus())}>
        Skip to content
      </a>
      <nav class="rail" aria-label="Views">
        <a class="brand" href={href(views[0]!.id)} aria-label="Voxelstream">
          <svg viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
            <path class="top" d="M16 3 28 9.5 16 16 4 9.5z" />
            <path class="left" d="M4 9.5 16 16v13L4 22.5z" />
            <path class="right" d="M28 9.5 16 16v13l12-6.5z" />
          </svg>
          <span>Voxelstream</span>
        </a>
        <ul>
          {shown.map((v) => (
            <li key={v.id}>
              <a href={href(v.id)} aria-current={v.id === view.id ? "page" : undefined}>
                <Icon name={v.icon} />
                <span>{v.title}</span>
              </a>
            </li>
          ))}
        </ul>
        <div class="foot">
          <Connection />
          <Segmented label="Theme" value={chosen} options={themes} onChange={(t: Theme) => (theme.value = t)} />
          {status.data?.build?.version ? <p class="version">{status.data.build.version}</p> : null}
        </div>
      </nav>
      <p id="announcement" class="sr" aria-live="polite" />
      <main ref={main} tabIndex={-1} data-view={view.id}>
        <h1 class="sr">{view.title}</h1>
        <Boundary key={view.id}>
          <Lazy view={view} />
        </Boundary>
      </main>
    </>
  );
}

function Connection() {
  const state = useSignal(link.state);
  const text = { open: "Connected", connecting: "Connecting …", waiting: "Disconnected, trying again …" }[state];
  return (
    <p class={`connection ${state}`} role="status">
      <span class="dot" aria-hidden="true" />
      <span>{text}</span>
    </p>
  );
}

function Lazy({ view }: { view: View }) {
  const [loaded, set] = useState<ComponentType | null>(null);
  const [error, setError] = useState<Error | null>(null);
  useEffect(() => {
    setError(null);
    view.load().then((m) => set(() => m.default), setError);
  }, [view]);
  if (error) return <Unloaded view={view} />;
  const Loaded = loaded;
  return Loaded ? <Loaded /> : null;
}

// Unloaded stands for a view that could not be loaded. A browser does not try again by itself, so the page does when the
// server is back.
function Unloaded({ view }: { view: View }) {
  const state = useSignal(link.state);
  useEffect(() => link.state.listen((s) => s === "open" && location.reload()), []);
  return (
    <Empty title={state === "open" ? "This view could not be loaded" : "Connection to the server lost"}>
      {state === "open" ? null : <p>Reconnecting … {view.title} opens when the server is back.</p>}
      <button type="button" onClick={() => location.reload()}>
        Reload the page
      </button>
    </Empty>
  );
}

// Boundary keeps the page usable if a view fails.
class Boundary extends Component<{ children: ComponentChildren }, { error: Error | null }> {
  override state = { error: null as Error | null };

  override componentDidCatch(error: Error): void {
    console.error(error);
    this.setState({ error });
  }

  override render() {
    if (!this.state.error) return this.props.children;
    return (
      <Empty title="This view has stopped">
        <p>{this.state.error.message}</p>
        <button type="button" onClick={() => location.reload()}>
          Reload the page
        </button>
      </Empty>
    );
  }
}
