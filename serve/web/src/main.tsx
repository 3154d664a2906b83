import "./style/tokens.css";
import "./style/base.css";
import "./style/views.css";
import { render } from "preact";
import { App } from "./app.tsx";

render(<App />, document.getElementById("app")!);
