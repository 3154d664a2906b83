package live

import (
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/voxelstream/voxelstream/serve/reply"
)

// about is what /api/status answers. Its zero value is empty.
type about struct {
	mu      sync.Mutex
	members map[string]func() any
	views   []string
}

func (a *about) set(member string, value func() any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.members == nil {
		a.members = map[string]func() any{}
	}
	a.members[member] = value
}

// Describe sets a member of /api/status, such as "models". value is called for each answer.
func (h *Hub) Describe(member string, value func() any) {
	if h != nil {
		h.about.set(member, value)
	}
}

// Show adds views of the page that have something to show, such as "live".
func (h *Hub) Show(views ...string) {
	if h == nil {
		return
	}
	h.about.mu.Lock()
	defer h.about.mu.Unlock()
	for _, v := range views {
		if !slices.Contains(h.about.views, v) {
			h.about.views = append(h.about.views, v)
		}
	}
}

// Status answers GET /api/status.
func (h *Hub) Status(w http.ResponseWriter, _ *http.Request) {
	h.about.mu.Lock()
	members, views := maps.Clone(h.about.members), slices.Clone(h.about.views)
	h.about.mu.Unlock()
	answer := map[string]any{"views": append([]string{}, views...)}
	for name, value := range members {
		answer[name] = value()
	}
	reply.JSON(w, http.StatusOK, answer)
}

// Running answers GET /api/run.
func (h *Hub) Running(w http.ResponseWriter, _ *http.Request) {
	reply.JSON(w, http.StatusOK, h.run())
}
