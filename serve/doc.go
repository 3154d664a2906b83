// Package serve contains everything that answers requests. Each folder below it has one task:
//
//   - models: versions of models: loading, verifying, warming up, switching, unloading and predicting
//   - v2: the Open Inference Protocol over REST
//   - batch: the dynamic batcher between requests and a network
//   - frame: the binary frames that the page receives
//   - explain: saliency, Grad-CAM, feature maps and the graph of a network
//   - choice: the choice among models
//   - training: the state of a training
//   - reply: answers in JSON
//   - history: classifications of the topic, each with its volume
//   - live: what a running pipeline shows to browsers, over WebSocket
//   - classifier: the model that classifies the volumes of requests
//   - digit: digits that are drawn on the page
//   - page: the files of the page, with their headers
//   - web: the source of the page and what was built from it
//
// Package app/serving puts them together.
package serve
