import "./style/tokens.css";
import "./style/base.css";
import "./style/views.css";
import "./streams.ts"; // before the first frame arrives: views are loaded later, and a frame that nobody takes is never acknowledged
import { render } from "preact";
import { App } from "./app.tsx";

render(<App />, document.getElementById("app")!);
