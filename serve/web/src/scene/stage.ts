// A stage shows one three-dimensional scene in an element: camera, mouse, touch and keys, labels, and release of
// everything. It draws only when something has changed. z is up.
import { Color, PerspectiveCamera, Scene, Spherical, Vector2, Vector3, WebGLRenderer, type Box3 } from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { colour, themed } from "../theme.ts";

export interface Label {
  at: Vector3;
  text: string;
  class?: string;
}

const mostLabels = 96;
const labelHeight = 20; // pixels, of the label of a box

export class Stage {
  readonly scene = new Scene();
  readonly camera = new PerspectiveCamera(40, 1, 0.01, 10_000);
  readonly controls: OrbitControls;
  readonly renderer: WebGLRenderer;
  // onClick gets the position in normalized device coordinates, when the pointer has not moved between down and up.
  onClick: (at: Vector2, e: PointerEvent) => void = () => {};
  // onDraw is called before each drawing.
  onDraw: () => void = () => {};

  #host: HTMLElement;
  #layer: HTMLElement;
  #labels: Label[] = [];
  #pool: HTMLElement[] = [];
  #frame = 0;
  #waiting: (() => void)[] = [];
  #sizes: ResizeObserver;
  #stopTheme: () => void;
  #home = { target: new Vector3(), direction: new Vector3(1, 1, 1), radius: 1 };
  #moved = false;
  #down = new Vector2();

  // It throws an Error if the browser has no WebGL.
  constructor(host: HTMLElement, label: string) {
    this.#host = host;
    this.renderer = new WebGLRenderer({ antialias: true, powerPreference: "high-performance" });
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    const canvas = this.renderer.domElement;
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "application");
    canvas.setAttribute("aria-label", `${label}. Arrow keys turn the view, plus and minus zoom, 0 shows everything.`);
    this.#layer = document.createElement("div");
    this.#layer.className = "labels";
    this.#layer.setAttribute("aria-hidden", "true");
    host.append(canvas, this.#layer);
    this.camera.up.set(0, 0, 1);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enableDamping = false;
    this.controls.zoomToCursor = true;
    this.controls.addEventListener("change", () => this.invalidate());
    this.controls.addEventListener("end", () => (this.#moved = true));
    canvas.addEventListener("keydown", this.#key);
    canvas.addEventListener("pointerdown", (e) => this.#down.set(e.clientX, e.clientY));
    canvas.addEventListener("pointerup", this.#up);
    canvas.addEventListener("webglcontextrestored", () => this.invalidate());
    this.#sizes = new ResizeObserver(() => this.#resize());
    this.#sizes.observe(host);
    this.#stopTheme = themed.listen(() => this.#theme());
    this.#theme();
    this.#resize();
  }

  // invalidate draws soon. done is called when it is drawn.
  invalidate(done?: () => void): void {
    if (done) this.#waiting.push(done);
    this.#frame ||= requestAnimationFrame(() => this.#draw());
  }

  setLabels(labels: Label[]): void {
    this.#labels = labels.slice(0, mostLabels);
    this.invalidate();
  }

  // home sets the view of the key 0, and goes there.
  home(box: Box3, direction: Vector3): void {
    const radius = Math.max(box.getSize(new Vector3()).length() / 2, 1e-6);
    this.#home = { target: box.getCenter(new Vector3()), direction: direction.clone().normalize(), radius };
    this.camera.near = radius / 500;
    this.camera.far = radius * 100;
    this.goHome();
  }

  goHome(): void {
    const { target, direction, radius } = this.#home;
    const fov = (this.camera.fov * Math.PI) / 360;
    const fit = radius / Math.sin(Math.min(fov, Math.atan(Math.tan(fov) * this.camera.aspect)));
    this.controls.target.copy(target);
    this.camera.position.copy(target).addScaledVector(direction, 1.04 * fit);
    this.camera.updateProjectionMatrix();
    this.controls.update();
    this.#moved = false;
    this.invalidate();
  }

  // moved tells whether a person has changed the view.
  get moved(): boolean {
    return this.#moved;
  }

  // point returns where a position is in the element, in pixels, or null behind the camera.
  point(at: Vector3): { x: number; y: number } | null {
    const v = at.clone().project(this.camera);
    if (v.z > 1 || v.z < -1) return null;
    return { x: ((v.x + 1) / 2) * this.#host.clientWidth, y: ((1 - v.y) / 2) * this.#host.clientHeight };
  }

  dispose(): void {
    cancelAnimationFrame(this.#frame);
    this.#sizes.disconnect();
    this.#stopTheme();
    this.controls.dispose();
    this.renderer.dispose();
    this.renderer.forceContextLoss();
    this.renderer.domElement.remove();
    this.#layer.remove();
    for (const f of this.#waiting.splice(0)) f();
  }

  #theme(): void {
    this.renderer.setClearColor(new Color(colour("stage")), 1);
    this.invalidate();
  }

  #resize(): void {
    const w = Math.max(this.#host.clientWidth, 1);
    const h = Math.max(this.#host.clientHeight, 1);
    this.renderer.setSize(w, h);
    this.camera.aspect = w / h;
    if (this.#moved) this.camera.updateProjectionMatrix();
    else this.goHome();
    this.#draw();
  }

  #draw(): void {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.onDraw();
    this.renderer.render(this.scene, this.camera);
    this.#place();
    for (const f of this.#waiting.splice(0)) f();
  }

  #place(): void {
    while (this.#pool.length < this.#labels.length) {
      const e = document.createElement("span");
      this.#layer.append(e);
      this.#pool.push(e);
    }
    const taken: { x: number; y: number; width: number }[] = [];
    this.#pool.forEach((e, i) => {
      const l = this.#labels[i];
      const p = l ? this.point(l.at) : null;
      e.hidden = !p;
      if (!l || !p) return;
      if (l.class === "box" || l.class === "ring") {
        // The width is an estimate: to measure it would lay out the page. Of labels that overlap, the first one shows.
        const width = 7 * l.text.length + 14;
        e.hidden = taken.some((t) => Math.abs(t.x - p.x) < (t.width + width) / 2 && Math.abs(t.y - p.y) < labelHeight);
        if (e.hidden) return;
        taken.push({ ...p, width });
      }
      if (e.textContent !== l.text) e.textContent = l.text;
      e.className = l.class ?? "";
      e.style.transform = `translate(${p.x.toFixed(1)}px, ${p.y.toFixed(1)}px) translate(-50%, -50%)`;
    });
  }

  #key = (e: KeyboardEvent): void => {
    const turn = 0.12;
    const turns: Record<string, [number, number]> = {
      ArrowLeft: [-turn, 0],
      ArrowRight: [turn, 0],
      ArrowUp: [0, -turn],
      ArrowDown: [0, turn],
    };
    const zooms: Record<string, number> = { "+": 0.87, "=": 0.87, "-": 1.15 };
    if (e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === "0") this.goHome();
    else if (turns[e.key] || zooms[e.key]) {
      // Spherical has y up: swap the axes there and back.
      const d = this.camera.position.clone().sub(this.controls.target);
      const s = new Spherical().setFromVector3(new Vector3(d.y, d.z, d.x));
      const [dt, dp] = turns[e.key] ?? [0, 0];
      s.theta += dt;
      s.phi = Math.min(Math.max(s.phi + dp, 0.02), Math.PI - 0.02);
      s.radius *= zooms[e.key] ?? 1;
      const v = new Vector3().setFromSpherical(s);
      this.camera.position.copy(this.controls.target).add(new Vector3(v.z, v.x, v.y));
      this.controls.update();
      this.invalidate();
    } else return;
    e.preventDefault();
    e.stopPropagation();
    this.#moved = true;
  };

  #up = (e: PointerEvent): void => {
    if (e.button !== 0 || Math.hypot(e.clientX - this.#down.x, e.clientY - this.#down.y) > 4) return;
    const r = this.renderer.domElement.getBoundingClientRect();
    this.onClick(new Vector2(((e.clientX - r.left) / r.width) * 2 - 1, 1 - ((e.clientY - r.top) / r.height) * 2), e);
  };
}
