// A file on its way to the server, and the items that come back.
import { ApiError, query } from "../../api.ts";
import { decodeAll, type Frame, type FrameHeader } from "../../frame.ts";

export interface Item {
  frame?: Frame;
  error?: string;
}

export interface Answer {
  name: string;
  items: Item[];
  more: boolean; // whether the file has more items
}

const most = 200; // items held and shown

// classify sends a file. progress gets how much of it was sent, 0 to 1.
export async function classify(file: File, progress: (share: number) => void, signal: AbortSignal): Promise<Answer> {
  const buffer = await post(`v1/classify?${query({ volumes: 1, limit: most + 1, name: file.name })}`, file, progress, signal);
  const items = decodeAll<FrameHeader & { error?: string }>(buffer).map(
    (m): Item => (m.header.error ? { error: m.header.error } : { frame: m }),
  );
  return { name: file.name, items: items.slice(0, most), more: items.length > most };
}

// post is a request with progress, which fetch does not have.
function post(path: string, body: Blob, progress: (share: number) => void, signal: AbortSignal): Promise<ArrayBuffer> {
  return new Promise((resolve, reject) => {
    const r = new XMLHttpRequest();
    r.open("POST", new URL(path, document.baseURI));
    r.responseType = "arraybuffer";
    r.setRequestHeader("Content-Type", "application/octet-stream");
    r.upload.onprogress = (e) => progress(e.total ? e.loaded / e.total : 1);
    r.upload.onload = () => progress(1);
    r.onload = () => {
      const answer = r.response as ArrayBuffer;
      if (r.status === 200) resolve(answer);
      else reject(new ApiError(r.status, reason(answer) ?? `${r.status} ${r.statusText}`));
    };
    r.onerror = () => reject(new ApiError(0, "The server does not answer."));
    r.onabort = () => reject(new DOMException("", "AbortError"));
    signal.addEventListener("abort", () => r.abort());
    r.send(body);
  });
}

function reason(body: ArrayBuffer): string | undefined {
  try {
    const e = (JSON.parse(new TextDecoder().decode(body)) as { error?: unknown }).error;
    return typeof e === "string" ? e : undefined;
  } catch {
    return undefined;
  }
}
