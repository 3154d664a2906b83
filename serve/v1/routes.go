package v1

import (
	"net/http"

	"github.com/voxelstream/voxelstream/record"
	"github.com/voxelstream/voxelstream/serve/frame"
)

// route is an endpoint of the HTTP listener. The OpenAPI document and the reference page are made of the list of them.
type route struct {
	method, path string
	group        string
	summary      string
	doc          string
	parameters   []parameter
	body         []content // empty: the request has none
	optional     bool      // the body may be missing
	answer       []content // of status 200
	// plain reports that errors are text instead of a [Problem].
	plain bool
	// also are statuses besides 200 whose answer is that of status 200.
	also []int
	// overload reports that the request may be answered with statuses 429, 503 and 504.
	overload bool
	example  string
}

// parameter is a parameter in the path, the query or a header.
type parameter struct {
	in, name, doc string
	schema        schema
}

// content is a media type with the type of its value; nil means bytes.
type content struct {
	media string
	value any
}

type schema = map[string]any

// groups are those of the routes, in order.
var groups = []struct{ name, doc string }{
	{"classify", "Classify files of sensors and volumes."},
	{
		"inference",
		"The Open Inference Protocol, version 2, with binary tensors. Tensors reach the network as they are.",
	},
	{"models", "Models and their versions."},
	{"process", "Health and metrics of the process."},
}

func text() schema { return schema{"type": "string"} }

var (
	modelPath = parameter{
		"path",
		"model",
		"Name of the model.",
		schema{"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_.-]+$"},
	}
	versionPath = parameter{
		"path",
		"version",
		"Version of the model.",
		schema{"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_.-]+$"},
	}
	binaryJSON = parameter{
		"header",
		"Inference-Header-Content-Length",
		"Size of the JSON in bytes, if binary tensors follow it.",
		schema{"type": "string", "pattern": "^[0-9]{1,9}$"},
	}
)

const typeBytes = "application/octet-stream"

// routes lists all endpoints.
func routes() []route {
	list := []route{
		{
			method: http.MethodPost, path: "/v1/classify",
			group: "classify", summary: "Classify a file",
			doc: "Takes a file of any format that the command inspect reads, the files of one or more recordings as " +
				"a form, or an Arrow stream of volumes. Samples are converted to volumes as the model requires. Each " +
				"produces one item, in the order of the file: a classification, or an error. A file that cannot be " +
				"read gives status 422.",
			parameters: []parameter{
				{"query", "model", "Name of the model. It may be missing if one model is served.", text()},
				{"query", "version", "Version of the model. Without it, the current one.", text()},
				{
					"query",
					"name",
					"Name of the file. Its extension is used if the content is ambiguous. The name is part of event " +
						"IDs.",
					schema{"type": "string", "pattern": "^[A-Za-z0-9_.-]*[A-Za-z0-9_-]$", "maxLength": 100},
				},
				{
					"query",
					"format",
					"Format of the file. Without it, the content decides.",
					schema{"type": "string", "enum": formatNames()},
				},
				{
					"query",
					"volumes",
					"Answer with binary frames that contain the volumes and the sensor data.",
					schema{"type": "boolean"},
				},
				{
					"query",
					"limit",
					"Maximum number of items.",
					schema{"type": "integer", "minimum": 1, "maximum": 1 << 30},
				},
			},
			body: []content{{typeBytes, nil}, {"multipart/form-data", form{}}, {typeArrow, nil}},
			answer: []content{
				{typeJSON, []classifiedItem{}}, {typeLines, nil}, {frame.ContentType, nil},
			},
			overload: true, example: "curl --data-binary @scan.pcd 'http://127.0.0.1:8080/v1/classify?name=scan.pcd'",
		},
		{
			method: http.MethodGet, path: "/v1/openapi.json",
			group: "process", summary: "This description as OpenAPI 3.1",
			answer: []content{{typeJSON, map[string]any{}}}, plain: true,
		},
		{
			method:  http.MethodGet,
			path:    "/v2",
			group:   "inference",
			summary: "Name, version and extensions of the server",
			answer:  []content{{typeJSON, server{}}},
		},
		{method: http.MethodGet, path: "/v2/health/live", group: "inference", summary: "Whether the process answers"},
		{
			method:   http.MethodGet,
			path:     "/v2/health/ready",
			group:    "inference",
			summary:  "Whether every model is ready",
			overload: true,
		},
	}
	for _, in := range []struct {
		path       string
		parameters []parameter
		of         string
	}{
		{"/v2/models/{model}", []parameter{modelPath}, "the current version"},
		{"/v2/models/{model}/versions/{version}", []parameter{modelPath, versionPath}, "a version"},
	} {
		list = append(
			list,
			route{
				method:     http.MethodGet,
				path:       in.path,
				group:      "inference",
				summary:    "Inputs and outputs of " + in.of,
				parameters: in.parameters,
				answer:     []content{{typeJSON, modelMetadata{}}},
				overload:   true,
			},
			route{
				method:     http.MethodGet,
				path:       in.path + "/ready",
				group:      "inference",
				summary:    "Whether " + in.of + " is ready",
				parameters: in.parameters,
				overload:   true,
			},
			route{
				method:     http.MethodGet,
				path:       in.path + "/config",
				group:      "inference",
				summary:    "Configuration of " + in.of,
				parameters: in.parameters,
				answer:     []content{{typeJSON, map[string]any{}}},
				overload:   true,
			},
			route{
				method:     http.MethodGet,
				path:       in.path + "/stats",
				group:      "inference",
				summary:    "Statistics of " + in.of,
				parameters: in.parameters,
				answer:     []content{{typeJSON, statistics{}}},
				overload:   true,
			},
			route{
				method: http.MethodPost, path: in.path + "/infer",
				group: "inference", summary: "Run " + in.of + " on tensors",
				doc: "Inputs are JSON arrays, or binary: little-endian, row-major, one after the other after the " +
					"JSON, whose size is then in Inference-Header-Content-Length. The parameters timeout " +
					"(microseconds) and priority (1 is the highest, 2 the default) apply.",
				parameters: append(append([]parameter{}, in.parameters...), binaryJSON),
				body:       []content{{typeJSON, inferRequest{}}, {typeBytes, nil}},
				answer:     []content{{typeJSON, inferResponse{}}, {typeBytes, nil}}, overload: true,
				example: "curl -d '{\"inputs\":[{\"name\":\"input_layer\",\"datatype\":\"FP32\"," +
					"\"shape\":[1,16,16,16,1],\"data\":[...]}]}' \\\n" +
					"  http://127.0.0.1:8080" + in.path + "/infer",
			},
		)
	}
	return append(
		list,
		route{
			method:  http.MethodGet,
			path:    "/v2/models/stats",
			group:   "inference",
			summary: "Statistics of all models",
			answer:  []content{{typeJSON, statistics{}}},
		},
		route{
			method: http.MethodPost, path: "/v2/repository/index",
			group: "models", summary: "List all models and versions",
			body: []content{{typeJSON, indexRequest{}}}, optional: true, answer: []content{{typeJSON, []indexItem{}}},
		},
		route{
			method: http.MethodPost, path: "/v2/repository/models/{model}/load",
			group: "models", summary: "Load a model, or load it again",
			doc: "The new version is read, verified and warmed up before it replaces the previous one.",
			parameters: []parameter{
				modelPath,
			}, body: []content{{typeJSON, controlRequest{}}}, optional: true, overload: true,
		},
		route{
			method: http.MethodPost, path: "/v2/repository/models/{model}/unload",
			group: "models", summary: "Unload a model",
			doc: "Requests in progress are finished.",
			parameters: []parameter{
				modelPath,
			}, body: []content{{typeJSON, controlRequest{}}}, optional: true, overload: true,
		},
		route{
			method:  http.MethodGet,
			path:    "/healthz",
			group:   "process",
			summary: "Whether the process answers",
			answer:  []content{{typeJSON, alive{}}},
			plain:   true,
		},
		route{
			method:  http.MethodGet,
			path:    "/readyz",
			group:   "process",
			summary: "Whether every part is ready",
			answer:  []content{{typeJSON, readiness{}}},
			also:    []int{http.StatusServiceUnavailable},
			plain:   true,
		},
		route{
			method:  http.MethodGet,
			path:    "/metrics",
			group:   "process",
			summary: "Metrics in the format of Prometheus",
			answer: []content{
				{"text/plain", ""},
				{"application/openmetrics-text", ""},
				{"application/vnd.google.protobuf", nil},
			},
			plain: true,
		},
	)
}

// The types below describe bodies of endpoints. They are only for the document.

// classifiedItem is an item of an answer of /v1/classify: a classification, or an error.
type classifiedItem struct{}

func (classifiedItem) variants() []any { return []any{record.Classification{}, Failure{}} }

type form struct {
	File []file `json:"file"`
}

// file is an uploaded file.
type file struct{}

type server struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

type tensorMetadata struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

type modelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions"`
	Platform string           `json:"platform"`
	Inputs   []tensorMetadata `json:"inputs"`
	Outputs  []tensorMetadata `json:"outputs"`
}

type total struct {
	Count uint64 `json:"count"`
	NS    uint64 `json:"ns"`
}

type statistics struct {
	Models []modelStatistics `json:"model_stats"`
}

type modelStatistics struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	Last       int64  `json:"last_inference"`
	Inferences uint64 `json:"inference_count"`
	Executions uint64 `json:"execution_count"`
	Stages     struct {
		Success total `json:"success"`
		Fail    total `json:"fail"`
		Queue   total `json:"queue"`
		Input   total `json:"compute_input"`
		Infer   total `json:"compute_infer"`
		Output  total `json:"compute_output"`
	} `json:"inference_stats"`
}

type inferRequest struct {
	ID         string         `json:"id,omitempty"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Inputs     []inputTensor  `json:"inputs"`
	Outputs    []outputWanted `json:"outputs,omitempty"`
}

type inputTensor struct {
	Name       string         `json:"name"`
	Datatype   string         `json:"datatype"`
	Shape      []int64        `json:"shape"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Data       []any          `json:"data,omitempty"`
}

type outputWanted struct {
	Name       string         `json:"name"`
	Parameters map[string]any `json:"parameters,omitempty"`
}

type outputTensor struct {
	Name       string         `json:"name"`
	Datatype   string         `json:"datatype"`
	Shape      []int64        `json:"shape"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Data       []any          `json:"data,omitempty"`
}

type inferResponse struct {
	Model   string         `json:"model_name"`
	Version string         `json:"model_version"`
	ID      string         `json:"id,omitempty"`
	Outputs []outputTensor `json:"outputs"`
}

type indexRequest struct {
	Ready *bool `json:"ready,omitempty"`
}

type indexItem struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
}

type controlRequest struct {
	Parameters map[string]any `json:"parameters,omitempty"`
}

type alive struct {
	Alive bool `json:"alive"`
}

type readiness struct {
	Ready  bool `json:"ready"`
	Checks []struct {
		Name   string `json:"name"`
		Ready  bool   `json:"ready"`
		Reason string `json:"reason,omitempty"`
	} `json:"checks"`
}
