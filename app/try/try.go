// Package try lets clients of the HTTP listener try a model with files and drawings.
package try

import (
	"net/http"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/serve/classifier"
	"github.com/voxelstream/voxelstream/serve/digit"
	v1 "github.com/voxelstream/voxelstream/serve/v1"
)

// Register calls handle, which is like [http.ServeMux.Handle], with what classifies the files and drawings of clients:
// /v1/classify with its reference, and /api/digit.
func Register(a *app.Env, find classifier.Find, handle func(pattern string, h http.Handler)) {
	handle("/v1/classify", v1.New(v1.Options{
		Find: find, Reading: a.Arriving(), Voxelize: a.Config.Voxelize,
		MaxBody: int64(a.Config.Serve.MaxBody), Requests: 2 * a.Threads(),
	}))
	handle("/v1/", v1.Reference(app.ReadBuild().Version))
	handle("POST /api/digit", digit.Handler(find, v1.Fail))
	a.Live.Show("try")
}
