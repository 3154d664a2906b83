// Points of a sensor, with decay, colours by field, boxes, picking and measuring. Points stay quantized as they were
// received, from the message to the GPU.
import {
  Box3,
  BufferAttribute,
  BufferGeometry,
  Color,
  DataTexture,
  DynamicDrawUsage,
  GLSL3,
  LineBasicMaterial,
  LineSegments,
  NearestFilter,
  Points,
  ShaderMaterial,
  Vector3,
  type Vector2,
} from "three";
import { part, type Frame, type SensorBox } from "../frame.ts";
import { colour, themed } from "../theme.ts";
import { metres, short } from "../ui/format.ts";
import { pointsOf } from "./data.ts";
import { lut } from "./palette.ts";
import { Stage, type Label } from "./stage.ts";

// mostPoints is the most that is shown at once: older frames within the decay time leave first.
export const mostPoints = 1_000_000;
const mostFrames = 256;
const mostBoxes = 512;
const mostBoxLabels = 20; // those of the nearest boxes; more would cover the cloud

export interface CloudLook {
  by: string; // "height", "distance", "rgb", "field:NAME", or "one"
  palette: string;
  range: [number, number] | null; // in units of the field; null for that of the frame
  size: number;
  unit: "pixels" | "metres";
  decay: number; // seconds
}

// Cloud is the points of one frame.
interface Cloud {
  object: Points<BufferGeometry, ShaderMaterial>;
  frame: Frame;
  points: Uint16Array;
  rgb: Uint8Array | undefined;
  count: number;
  at: number; // when it came, in milliseconds
  origin: Vector3; // relative to the base
  scale: Vector3;
}

// Picked is a point with everything that is known about it.
export interface Picked {
  position: [number, number, number]; // metres
  distance: number; // from the sensor's origin
  fields: { name: string; value: string }[];
  index: number;
}

const vertex = /* glsl */ `
in vec3 quantized;
in float value;
in vec3 rgb;
uniform vec3 origin;
uniform vec3 scale;
uniform vec3 base;
uniform int by;
uniform vec2 range;
uniform vec2 field;
uniform float size;
uniform float metres;
uniform float height;
uniform float fade;
uniform vec3 background;
uniform vec3 plain;
uniform sampler2D palette;
out vec3 paint;

void main() {
  vec3 p = origin + scale * quantized;
  vec4 view = viewMatrix * vec4(p, 1.0);
  gl_Position = projectionMatrix * view;
  gl_PointSize = metres > 0.5 ? clamp(size * height * projectionMatrix[1][1] / -view.z, 1.0, 64.0) : size;
  float v = by == 0 ? p.z + base.z : by == 1 ? length(p + base) : field.x + (field.y - field.x) * value;
  float x = clamp((v - range.x) / max(range.y - range.x, 1e-9), 0.0, 1.0);
  paint = by == 3 ? rgb : by == 4 ? plain : texelFetch(palette, ivec2(int(x * 255.0 + 0.5), 0), 0).rgb;
  paint = mix(paint, background, fade);
}`;

const fragment = /* glsl */ `
precision mediump float;
in vec3 paint;
out vec4 colour;
void main() {
  vec2 d = gl_PointCoord - 0.5;
  if (dot(d, d) > 0.25) discard;
  colour = vec4(paint, 1.0);
}`;

export class CloudScene {
  readonly stage: Stage;
  // onPick gets the point that was clicked, or null beside all points.
  onPick: (p: Picked | null) => void = () => {};
  // onMeasure gets the distance between the last two points picked while measuring.
  onMeasure: (metres: number | null) => void = () => {};
  // range is what the colours of the newest frame span.
  range: [number, number] = [0, 1];

  #look: CloudLook = { by: "height", palette: "viridis", range: null, size: 2, unit: "pixels", decay: 0 };
  #clouds: Cloud[] = [];
  #texture: DataTexture;
  #base = new Vector3(); // map coordinates are too large for float32: positions are relative to this
  #baseSet = false;
  #stream = "";
  #rings: LineSegments;
  #boxes: LineSegments;
  #ruler: LineSegments;
  #ringLabels: Label[] = [];
  #boxLabels: Label[] = [];
  #measuring = false;
  #ends: Vector3[] = [];
  #timer = 0;
  #stopTheme: () => void;
  #background = new Color();
  #plain = new Color();
  // All frames share the material: a new one would compile the shader again.
  #material: ShaderMaterial;

  constructor(host: HTMLElement, label: string) {
    this.stage = new Stage(host, label);
    this.#texture = new DataTexture(lut("viridis").slice(), 256, 1);
    this.#texture.minFilter = this.#texture.magFilter = NearestFilter;
    this.#texture.needsUpdate = true;
    this.#material = new ShaderMaterial({
      glslVersion: GLSL3,
      vertexShader: vertex,
      fragmentShader: fragment,
      uniforms: {
        origin: { value: new Vector3() },
        scale: { value: new Vector3() },
        base: { value: this.#base },
        by: { value: 0 },
        range: { value: [0, 1] },
        field: { value: [0, 1] },
        size: { value: 1 },
        metres: { value: 0 },
        height: { value: 1 },
        fade: { value: 0 },
        background: { value: this.#background },
        plain: { value: this.#plain },
        palette: { value: this.#texture },
      },
    });
    this.#rings = new LineSegments(new BufferGeometry(), new LineBasicMaterial());
    this.#boxes = new LineSegments(lines(mostBoxes * 24), new LineBasicMaterial());
    this.#ruler = new LineSegments(lines(2 + 2 * 6), new LineBasicMaterial({ depthTest: false }));
    for (const l of [this.#boxes, this.#ruler]) {
      l.frustumCulled = false;
      l.geometry.setDrawRange(0, 0);
    }
    this.#ruler.renderOrder = 2;
    this.stage.scene.add(this.#rings, this.#boxes, this.#ruler);
    this.stage.onClick = (at) => this.#click(at);
    this.#stopTheme = themed.listen(() => this.#theme());
    this.#theme();
  }

  // show adds the points of a frame and removes those that are older than the decay time. done is called when it is
  // drawn. It returns how many points of older frames left before their time because there were too many.
  show(frame: Frame, done?: () => void): number {
    const points = pointsOf(frame);
    const other = frame.header.stream !== this.#stream;
    if (other) this.clear();
    this.#stream = frame.header.stream;
    let early = 0;
    if (points) {
      const origin = new Vector3(...points.origin);
      if (!this.#baseSet) {
        // Sensors near the origin keep their own coordinates.
        if (origin.length() > 10_000) this.#base.copy(origin);
        this.#baseSet = true;
      }
      const count = Math.floor(points.q.length / 3);
      let total = count;
      for (const c of this.#clouds) total += c.count;
      const now = performance.now();
      while (this.#clouds.length > 0) {
        const c = this.#clouds[0]!;
        const old = now - c.at > this.#look.decay * 1000;
        if (!old && total <= mostPoints && this.#clouds.length < mostFrames) break;
        if (!old) early += c.count;
        total -= c.count;
        this.#remove(this.#clouds.shift()!);
      }
      const cloud: Cloud = {
        object: new Points(new BufferGeometry(), this.#material),
        frame,
        points: points.q,
        rgb: points.rgb,
        count,
        at: now,
        origin: origin.sub(this.#base),
        scale: new Vector3(...points.scale),
      };
      cloud.object.frustumCulled = false;
      cloud.object.onBeforeRender = () => this.#uniforms(cloud);
      cloud.object.geometry.setAttribute("quantized", new BufferAttribute(points.q, 3));
      cloud.object.geometry.setDrawRange(0, count);
      this.#attributes(cloud);
      this.#clouds.push(cloud);
      this.stage.scene.add(cloud.object);
      if (other) this.#fit(cloud);
      this.range = this.#rangeOf(cloud);
    }
    this.#showBoxes(frame.header.boxes ?? (frame.header.classification?.box ? [own(frame)] : []));
    this.#later();
    this.stage.invalidate(done);
    return early;
  }

  look(look: CloudLook): void {
    const recolour = look.by !== this.#look.by;
    this.#look = look;
    (this.#texture.image.data as Uint8Array).set(lut(look.palette));
    this.#texture.needsUpdate = true;
    if (recolour) for (const c of this.#clouds) this.#attributes(c);
    const newest = this.#clouds.at(-1);
    if (newest) this.range = this.#rangeOf(newest);
    this.stage.invalidate();
  }

  // measure turns measuring on or off.
  measure(on: boolean): void {
    this.#measuring = on;
    this.#ends = [];
    this.#showRuler();
  }

  // clear forgets all points, and where they were.
  clear(): void {
    for (const c of this.#clouds.splice(0)) this.#remove(c);
    this.#baseSet = false;
    this.#base.set(0, 0, 0);
    this.#ends = [];
    this.#showRuler();
    this.#showBoxes([]);
  }

  get shown(): number {
    return this.#clouds.reduce((n, c) => n + c.count, 0);
  }

  dispose(): void {
    clearTimeout(this.#timer);
    this.#stopTheme();
    for (const c of this.#clouds.splice(0)) this.#remove(c);
    for (const l of [this.#rings, this.#boxes, this.#ruler]) {
      l.geometry.dispose();
      (l.material as LineBasicMaterial).dispose();
    }
    this.#material.dispose();
    this.#texture.dispose();
    this.stage.dispose();
  }

  // uniforms sets what the shader needs for the points of one frame, just before they are drawn.
  #uniforms(c: Cloud): void {
    const look = this.#look;
    const { renderer } = this.stage;
    const field = this.#field(c.frame);
    const age = (performance.now() - c.at) / 1000;
    const u = this.#material.uniforms;
    u["origin"]!.value = c.origin;
    u["scale"]!.value = c.scale;
    u["by"]!.value = this.#by(c);
    u["range"]!.value = this.range;
    u["field"]!.value = field ? [field.lo, field.hi] : [0, 1];
    u["size"]!.value = look.unit === "metres" ? look.size / 100 : look.size * renderer.getPixelRatio();
    u["metres"]!.value = look.unit === "metres" ? 1 : 0;
    u["height"]!.value = renderer.domElement.height / 2;
    u["fade"]!.value = look.decay > 0 ? Math.min(age / look.decay, 1) * 0.85 : 0;
    this.#material.uniformsNeedUpdate = true;
  }

  #field(frame: Frame) {
    const by = this.#look.by;
    if (!by.startsWith("field:")) return undefined;
    return frame.header.sensor?.fields?.find((f) => "field:" + f.name === by);
  }

  #by(c: Cloud): number {
    switch (this.#look.by) {
      case "distance":
        return 1;
      case "rgb":
        return c.rgb ? 3 : 0;
      case "one":
        return 4;
    }
    return this.#field(c.frame) && c.frame.parts.has(this.#look.by) ? 2 : 0;
  }

  #attributes(c: Cloud): void {
    const g = c.object.geometry;
    const value = part(c.frame, this.#look.by, Uint8Array);
    if (value && value.length >= c.count) g.setAttribute("value", new BufferAttribute(value, 1, true));
    if (this.#look.by === "rgb" && c.rgb && c.rgb.length >= 3 * c.count) {
      g.setAttribute("rgb", new BufferAttribute(c.rgb, 3, true));
    }
  }

  #rangeOf(c: Cloud): [number, number] {
    if (this.#look.range) return this.#look.range;
    const field = this.#field(c.frame);
    if (this.#by(c) === 2 && field) return [field.lo, field.hi];
    // From the 2nd to the 98th of a hundred, of a sample.
    const step = Math.max(1, Math.floor(c.count / 4096));
    const all: number[] = [];
    const p = new Vector3();
    for (let i = 0; i < c.count; i += step) {
      this.#position(c, i, p);
      all.push(this.#look.by === "distance" ? p.length() : p.z);
    }
    all.sort((a, b) => a - b);
    if (all.length === 0) return [0, 1];
    return [all[Math.floor(all.length * 0.02)]!, all[Math.ceil(all.length * 0.98) - 1]!];
  }

  // position is that of a point in metres, as the sensor gave it.
  #position(c: Cloud, i: number, into: Vector3): Vector3 {
    into.set(c.points[3 * i]!, c.points[3 * i + 1]!, c.points[3 * i + 2]!);
    return into.multiply(c.scale).add(c.origin).add(this.#base);
  }

  // fit shows most of the points, and draws rings around the sensor.
  #fit(c: Cloud): void {
    const step = Math.max(1, Math.floor(c.count / 2048));
    const xs: number[] = [];
    const ys: number[] = [];
    const zs: number[] = [];
    const p = new Vector3();
    for (let i = 0; i < c.count; i += step) {
      this.#position(c, i, p).sub(this.#base);
      xs.push(p.x);
      ys.push(p.y);
      zs.push(p.z);
    }
    if (xs.length === 0) return;
    const span = (v: number[]) => {
      v.sort((a, b) => a - b);
      return [v[Math.floor(v.length * 0.06)]!, v[Math.ceil(v.length * 0.94) - 1]!] as const;
    };
    const [x, y, z] = [span(xs), span(ys), span(zs)];
    const box = new Box3(new Vector3(x[0], y[0], z[0]), new Vector3(x[1], y[1], z[1]));
    this.stage.home(box, new Vector3(-0.75, -0.45, 0.62));
    this.#drawRings(box);
  }

  #drawRings(box: Box3): void {
    const reach = Math.max(Math.abs(box.min.x), Math.abs(box.max.x), Math.abs(box.min.y), Math.abs(box.max.y));
    const unit = 10 ** Math.floor(Math.log10(Math.max(reach, 1e-6)));
    const step = reach / unit > 5 ? 2 * unit : reach / unit > 2 ? unit : unit / 2;
    const z = box.min.z;
    const p: number[] = [];
    this.#ringLabels = [];
    for (let k = 1; k * step <= reach * 1.2; k++) {
      for (let i = 0; i < 96; i++) {
        for (const a of [i, i + 1]) p.push(k * step * Math.cos((a * Math.PI) / 48), k * step * Math.sin((a * Math.PI) / 48), z);
      }
      this.#ringLabels.push({ at: new Vector3(k * step * 0.7071, -k * step * 0.7071, z), text: `${short(k * step)} m`, class: "ring" });
    }
    p.push(0, 0, z, reach * 1.2, 0, z, 0, 0, z, 0, reach * 1.2, z);
    this.#ringLabels.push({ at: new Vector3(reach * 1.25, 0, z), text: "x", class: "axis" });
    this.#ringLabels.push({ at: new Vector3(0, reach * 1.25, z), text: "y", class: "axis" });
    this.#rings.geometry.dispose();
    this.#rings.geometry = new BufferGeometry().setAttribute("position", new BufferAttribute(new Float32Array(p), 3));
    this.#labels();
  }

  #showBoxes(boxes: SensorBox[]): void {
    const range = (b: SensorBox) => Math.hypot(...b.center);
    const shown = boxes.slice(0, mostBoxes).sort((a, b) => range(a) - range(b));
    const a = this.#boxes.geometry.getAttribute("position") as BufferAttribute;
    let n = 0;
    this.#boxLabels = [];
    const p = new Vector3();
    for (const b of shown) {
      const corner = (i: number) => {
        const l = (i & 1 ? 0.5 : -0.5) * b.size[0];
        const w = (i & 2 ? 0.5 : -0.5) * b.size[1];
        const h = (i & 4 ? 0.5 : -0.5) * b.size[2];
        const [s, c] = [Math.sin(b.yaw), Math.cos(b.yaw)];
        return p.set(b.center[0] + c * l - s * w, b.center[1] + s * l + c * w, b.center[2] + h).sub(this.#base);
      };
      for (let i = 0; i < 8; i++) {
        for (const bit of [1, 2, 4]) {
          if (i & bit) continue;
          for (const k of [i, i | bit]) a.setXYZ(n++, ...corner(k).toArray());
        }
      }
      if (this.#boxLabels.length === mostBoxLabels) continue;
      const name = b.name ?? (b.class === undefined ? "" : `class ${b.class}`);
      const text = [b.track ? `#${b.track}` : "", name, metres(range(b))].filter(Boolean).join(" ");
      const top = new Vector3(...b.center).sub(this.#base);
      this.#boxLabels.push({ at: top.setZ(top.z + b.size[2] / 2), text, class: "box" });
    }
    this.#boxes.geometry.setDrawRange(0, n);
    a.clearUpdateRanges();
    a.addUpdateRange(0, 3 * n);
    a.needsUpdate = n > 0;
    this.#labels();
  }

  #labels(): void {
    const ruler: Label[] = [];
    const [a, b] = this.#ends;
    if (a && b) ruler.push({ at: a.clone().lerp(b, 0.5), text: metres(a.distanceTo(b)), class: "ruler" });
    this.stage.setLabels([...ruler, ...this.#boxLabels, ...this.#ringLabels]);
  }

  #showRuler(): void {
    const a = this.#ruler.geometry.getAttribute("position") as BufferAttribute;
    let n = 0;
    const size = this.stage.camera.position.distanceTo(this.stage.controls.target) * 0.012;
    for (const e of this.#ends) {
      for (let k = 0; k < 3; k++) {
        for (const s of [-size, size]) {
          const p = e.toArray();
          p[k]! += s;
          a.setXYZ(n++, ...p);
        }
      }
    }
    for (const e of this.#ends.length === 2 ? this.#ends : []) a.setXYZ(n++, ...e.toArray());
    this.#ruler.geometry.setDrawRange(0, n);
    a.needsUpdate = true;
    this.#labels();
    this.stage.invalidate();
  }

  // click finds the point nearest to the pointer: within 12 pixels, the one nearest to the camera among close ones.
  #click(at: Vector2): void {
    const { camera } = this.stage;
    camera.updateMatrixWorld();
    const m = camera.projectionMatrix.clone().multiply(camera.matrixWorldInverse).elements;
    const { clientWidth: width, clientHeight: height } = this.stage.renderer.domElement;
    let best = Infinity;
    let found: { cloud: Cloud; index: number } | null = null;
    for (const c of this.#clouds) {
      const [ox, oy, oz] = c.origin.toArray();
      const [sx, sy, sz] = c.scale.toArray();
      for (let i = 0; i < c.count; i++) {
        const x = ox + sx * c.points[3 * i]!;
        const y = oy + sy * c.points[3 * i + 1]!;
        const z = oz + sz * c.points[3 * i + 2]!;
        const w = m[3]! * x + m[7]! * y + m[11]! * z + m[15]!;
        if (w <= camera.near) continue;
        const dx = (((m[0]! * x + m[4]! * y + m[8]! * z + m[12]!) / w - at.x) * width) / 2;
        const dy = (((m[1]! * x + m[5]! * y + m[9]! * z + m[13]!) / w - at.y) * height) / 2;
        const d = dx * dx + dy * dy;
        if (d > 144) continue;
        const rank = (1 + d / 9) * w;
        if (rank >= best) continue;
        best = rank;
        found = { cloud: c, index: i };
      }
    }
    if (!found) {
      if (!this.#measuring) this.#ends = [];
      this.#showRuler();
      this.onPick(null);
      return;
    }
    const p = this.#position(found.cloud, found.index, new Vector3());
    const end = p.clone().sub(this.#base);
    this.#ends = this.#measuring && this.#ends.length === 1 ? [this.#ends[0]!, end] : [end];
    this.#showRuler();
    this.onMeasure(this.#ends.length === 2 ? this.#ends[0]!.distanceTo(end) : null);
    this.onPick({ position: p.toArray(), distance: p.length(), fields: fieldsOf(found.cloud, found.index), index: found.index });
  }

  // later draws again while older points fade.
  #later(): void {
    clearTimeout(this.#timer);
    if (this.#look.decay <= 0 || this.#clouds.length < 2) return;
    this.#timer = window.setTimeout(() => {
      const now = performance.now();
      while (this.#clouds.length > 1 && now - this.#clouds[0]!.at > this.#look.decay * 1000) this.#remove(this.#clouds.shift()!);
      this.stage.invalidate();
      this.#later();
    }, 100);
  }

  #remove(c: Cloud): void {
    this.stage.scene.remove(c.object);
    c.object.geometry.dispose();
  }

  #theme(): void {
    this.#background.setStyle(colour("stage"), "srgb-linear");
    this.#plain.setStyle(colour("ink"), "srgb-linear");
    (this.#rings.material as LineBasicMaterial).color = new Color().setStyle(colour("line"));
    (this.#boxes.material as LineBasicMaterial).color = new Color().setStyle(colour("accent"));
    (this.#ruler.material as LineBasicMaterial).color = new Color().setStyle(colour("c2"));
    this.stage.invalidate();
  }
}

const lines = (vertices: number): BufferGeometry => {
  const a = new BufferAttribute(new Float32Array(3 * vertices), 3);
  a.setUsage(DynamicDrawUsage);
  return new BufferGeometry().setAttribute("position", a);
};

// own is the box of the object that was classified.
function own(frame: Frame): SensorBox {
  const c = frame.header.classification!;
  return {
    ...c.box!,
    class: c.class,
    ...(c.name === undefined ? {} : { name: c.name }),
    ...(c.track === undefined ? {} : { track: c.track }),
  };
}

// fieldsOf are the fields of a point, with their units.
function fieldsOf({ frame, rgb }: Cloud, i: number): { name: string; value: string }[] {
  const all = (frame.header.sensor?.fields ?? []).flatMap((f) => {
    const q = frame.parts.get("field:" + f.name)?.data[i];
    if (q === undefined) return [];
    const v = f.lo + ((f.hi - f.lo) * q) / 255;
    return [{ name: f.name, value: `${v.toLocaleString(undefined, { maximumSignificantDigits: 4 })} ${f.unit ?? ""}`.trim() }];
  });
  if (rgb && 3 * i + 2 < rgb.length) all.push({ name: "colour", value: `${rgb[3 * i]}, ${rgb[3 * i + 1]}, ${rgb[3 * i + 2]}` });
  const label = frame.parts.get("labels")?.data[i];
  if (label !== undefined) all.push({ name: "label", value: String(label) });
  return all;
}
