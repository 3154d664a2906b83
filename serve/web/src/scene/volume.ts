// The volume as shaded cubes: one instanced quad for each visible face.
import {
  Box3,
  BufferAttribute,
  BufferGeometry,
  Color,
  DataTexture,
  DoubleSide,
  DynamicDrawUsage,
  GLSL3,
  InstancedBufferAttribute,
  InstancedBufferGeometry,
  LineBasicMaterial,
  LineSegments,
  Mesh,
  NearestFilter,
  Raycaster,
  ShaderMaterial,
  Vector3,
  type Vector2,
} from "three";
import { colour, themed } from "../theme.ts";
import { buildFaces, pick, thinAxis, type Cut, type Faces, type Hit, type VolumeData } from "./faces.ts";
import { lut } from "./palette.ts";
import { Stage, type Label } from "./stage.ts";

const vertex = /* glsl */ `
in vec2 corner;
in vec4 cell;
in vec2 info;
uniform sampler2D palette;
out vec2 at;
flat out vec4 shade;
flat out vec3 paint;
flat out float light;

void main() {
  int face = int(cell.w);
  int axis = face >> 1;
  vec3 n = axis == 0 ? vec3(1, 0, 0) : axis == 1 ? vec3(0, 1, 0) : vec3(0, 0, 1);
  vec3 a = axis == 0 ? vec3(0, 1, 0) : axis == 1 ? vec3(0, 0, 1) : vec3(1, 0, 0);
  vec3 b = axis == 0 ? vec3(0, 0, 1) : axis == 1 ? vec3(1, 0, 0) : vec3(0, 1, 0);
  float front = float(face & 1);
  vec3 p = cell.xyz + n * front + a * corner.x + b * corner.y;
  int s = int(info.y);
  shade = vec4(s & 3, (s >> 2) & 3, (s >> 4) & 3, (s >> 6) & 3) / 3.0;
  paint = texelFetch(palette, ivec2(int(info.x), 0), 0).rgb;
  vec3 normal = n * (2.0 * front - 1.0);
  light = 0.82 + 0.24 * dot(normal, normalize(vec3(0.5, -0.25, 0.8)));
  at = corner;
  gl_Position = projectionMatrix * modelViewMatrix * vec4(p, 1.0);
}`;

const fragment = /* glsl */ `
precision highp float;
in vec2 at;
flat in vec4 shade;
flat in vec3 paint;
flat in float light;
uniform float flatness;
out vec4 colour;

void main() {
  float ao = mix(mix(shade.x, shade.y, at.x), mix(shade.z, shade.w, at.x), at.y);
  vec2 edge = min(at, 1.0 - at);
  vec2 width = fwidth(at);
  // Lines between cubes fade where cubes are only a few pixels wide.
  float line = 1.0 - smoothstep(0.0, 1.2, min(edge.x / width.x, edge.y / width.y));
  float fade = 1.0 - smoothstep(0.06, 0.3, max(width.x, width.y));
  vec3 c = paint * mix(light * mix(0.58, 1.0, ao), 1.0, flatness);
  colour = vec4(c * (1.0 - 0.22 * line * fade), 1.0);
}`;

export class VolumeScene {
  readonly stage: Stage;
  // onPick gets the cell that was clicked, or null beside all cells.
  onPick: (hit: Hit | null) => void = () => {};
  leftOut = 0;

  #geometry = new InstancedBufferGeometry();
  #material: ShaderMaterial;
  #texture: DataTexture;
  #faces: Faces | undefined;
  #data: VolumeData | null = null;
  #cut: Cut = { mode: "cubes", threshold: 1, at: [1e6, 1e6, 1e6] };
  #frame: LineSegments;
  #mark: LineSegments;
  #size = "";
  #stopTheme: () => void;

  constructor(host: HTMLElement, label: string) {
    this.stage = new Stage(host, label);
    this.#geometry.setAttribute("corner", new BufferAttribute(new Float32Array([0, 0, 1, 0, 1, 1, 0, 1]), 2));
    this.#geometry.setIndex([0, 1, 2, 0, 2, 3]);
    this.#geometry.instanceCount = 0;
    this.#texture = new DataTexture(lut("Oranges").slice(), 256, 1);
    this.#texture.minFilter = this.#texture.magFilter = NearestFilter;
    this.#texture.needsUpdate = true;
    this.#material = new ShaderMaterial({
      glslVersion: GLSL3,
      vertexShader: vertex,
      fragmentShader: fragment,
      uniforms: { palette: { value: this.#texture }, flatness: { value: 0 } },
      side: DoubleSide,
    });
    const mesh = new Mesh(this.#geometry, this.#material);
    mesh.frustumCulled = false;
    this.#frame = new LineSegments(new BufferGeometry(), new LineBasicMaterial());
    this.#mark = new LineSegments(boxLines([0, 0, 0], [1, 1, 1]), new LineBasicMaterial({ depthTest: false }));
    this.#mark.visible = false;
    this.#mark.renderOrder = 2;
    this.stage.scene.add(this.#frame, mesh, this.#mark);
    this.stage.onClick = (at) => this.#click(at);
    this.#stopTheme = themed.listen(() => this.#theme());
    this.#theme();
  }

  // show draws a volume. done is called when it is drawn. The view is chosen anew for a new name or size.
  show(name: string, data: VolumeData, cut: Cut, done?: () => void): void {
    this.#data = data;
    this.#cut = cut;
    const size = `${name} ${data.dims.join("x")}`;
    if (size !== this.#size) this.#place(data, cut);
    this.#size = size;
    this.#faces = buildFaces(data, cut, this.#faces);
    this.leftOut = this.#faces.leftOut;
    this.#upload(this.#faces);
    this.#material.uniforms["flatness"]!.value = cut.mode === "slices" ? 1 : 0;
    this.stage.invalidate(done);
  }

  palette(name: string): void {
    (this.#texture.image.data as Uint8Array).set(lut(name));
    this.#texture.needsUpdate = true;
    this.stage.invalidate();
  }

  mark(cell: readonly [number, number, number] | null): void {
    this.#mark.visible = cell !== null;
    if (cell) this.#mark.position.set(...cell);
    this.stage.invalidate();
  }

  dispose(): void {
    this.#stopTheme();
    this.#geometry.dispose();
    this.#material.dispose();
    this.#texture.dispose();
    for (const l of [this.#frame, this.#mark]) {
      l.geometry.dispose();
      (l.material as LineBasicMaterial).dispose();
    }
    this.stage.dispose();
  }

  #upload(f: Faces): void {
    const g = this.#geometry;
    const have = g.getAttribute("cell") as InstancedBufferAttribute | undefined;
    if (have?.array !== f.cells) {
      // The buffers on the GPU have grown too small: three.js frees those of the old attributes with the geometry.
      g.dispose();
      for (const [name, array, n] of [["cell", f.cells, 4], ["info", f.info, 2]] as const) {
        const a = new InstancedBufferAttribute(array, n);
        a.setUsage(DynamicDrawUsage);
        g.setAttribute(name, a);
      }
    }
    for (const [name, n] of [["cell", 4], ["info", 2]] as const) {
      const a = g.getAttribute(name) as InstancedBufferAttribute;
      a.clearUpdateRanges();
      a.addUpdateRange(0, f.count * n);
      a.needsUpdate = true;
    }
    g.instanceCount = f.count;
  }

  #place(data: VolumeData, cut: Cut): void {
    const [d, h, w] = data.dims;
    this.#frame.geometry.dispose();
    this.#frame.geometry = boxLines([0, 0, 0], [w, h, d]);
    const off = Math.max(w, h, d) * 0.05;
    const labels: Label[] = [
      { at: new Vector3(w / 2, -off, 0), text: "x", class: "axis" },
      { at: new Vector3(w + off, h / 2, 0), text: "y", class: "axis" },
      { at: new Vector3(-off, -off, d / 2), text: "z", class: "axis" },
    ];
    this.stage.setLabels(labels);
    this.stage.home(new Box3(new Vector3(), new Vector3(w, h, d)), new Vector3(...outlooks[thinAxis(data, cut.threshold)]));
    this.mark(null);
  }

  #theme(): void {
    (this.#frame.material as LineBasicMaterial).color = new Color().setStyle(colour("line-2"));
    (this.#mark.material as LineBasicMaterial).color = new Color().setStyle(colour("c2"));
    this.stage.invalidate();
  }

  #click(at: Vector2): void {
    if (!this.#data) return;
    const ray = new Raycaster();
    ray.setFromCamera(at, this.stage.camera);
    const hit = pick(this.#data, this.#cut, ray.ray.origin.toArray(), ray.ray.direction.toArray());
    this.mark(hit?.cell ?? null);
    this.onPick(hit);
  }
}

// outlooks are the directions from which volumes are seen best: mostly along the axis where their contents are thinnest.
const outlooks = {
  [-1]: [1.15, -1.5, 0.95],
  0: [1.7, -0.8, 0.7],
  1: [0.8, -1.7, 0.7],
  2: [0.8, -1.3, 1.5],
} as const;

// boxLines are the twelve edges of a box.
export function boxLines(min: readonly number[], max: readonly number[]): BufferGeometry {
  const p: number[] = [];
  const corner = (i: number) => [0, 1, 2].map((k) => ((i >> k) & 1 ? max[k]! : min[k]!));
  for (let i = 0; i < 8; i++) for (let k = 0; k < 3; k++) if (!((i >> k) & 1)) p.push(...corner(i), ...corner(i | (1 << k)));
  return new BufferGeometry().setAttribute("position", new BufferAttribute(new Float32Array(p), 3));
}
