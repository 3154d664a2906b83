package stream

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/pipeline"
	"github.com/voxelstream/voxelstream/pipeline/transport"
	"github.com/voxelstream/voxelstream/serve/history"
	"github.com/voxelstream/voxelstream/serve/reply"
	"github.com/voxelstream/voxelstream/voxelize/volarrow"
)

// Limits of the requests of the page about dead letters.
const (
	lettersTime   = 20 * time.Second
	maxLetters    = 1000
	maxReplayBody = 64 << 10
	maxPreview    = 2 << 10 // bytes
)

// servePage adds what the page shows of a cluster to the HTTP listener, if there is one. The values of messages that are
// objects are taken from a budget. names returns those of the model's classes, or nil.
func servePage(a *app.Env, cl *cluster, budget *pipeline.Budget, names func() []string) {
	if a.HTTP == nil {
		return
	}
	k := &a.Config.Kafka
	value := func(ctx context.Context, m *transport.Message) ([]byte, func(), error) {
		return cl.objects.ValueWithin(ctx, budget, m)
	}
	for pattern, h := range history.New(cl.client, k.Volumes, k.Classifications, value, names).Handlers() {
		a.HTTP.Handle(pattern, h)
	}
	l := letters{a, cl}
	a.HTTP.Handle("GET /api/dead-letters", answering(l.list))
	a.HTTP.Handle("GET /api/dead-letters/{partition}/{offset}", answering(l.one))
	a.HTTP.Handle("POST /api/dead-letters/replay", answering(l.replay))
	a.Live.Show("history")
}

// letters answers requests about dead letters.
type letters struct {
	a  *app.Env
	cl *cluster
}

// answering is a handler that sends the result of f as JSON.
func answering(f func(w http.ResponseWriter, r *http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), lettersTime)
		defer cancel()
		body, err := f(w, r.WithContext(ctx))
		if err != nil {
			reply.Fail(w, err)
			return
		}
		reply.JSON(w, http.StatusOK, body)
	})
}

// list answers with the newest dead letters.
func (l letters) list(_ http.ResponseWriter, r *http.Request) (any, error) {
	limit, err := strconv.Atoi(cmp.Or(r.URL.Query().Get("limit"), "100"))
	if err != nil || limit < 1 || limit > maxLetters {
		return nil, reply.Errorf(http.StatusBadRequest, "limit: want a number from 1 to %d", maxLetters)
	}
	found, more, err := newestDeadLetters(r.Context(), l.a, l.cl.client, limit)
	return map[string]any{"letters": found, "more": more}, err
}

// one answers with a dead letter, its headers and a preview of its value.
func (l letters) one(_ http.ResponseWriter, r *http.Request) (any, error) {
	missing := reply.Errorf(http.StatusNotFound, "dead letter %.20s:%.20s: not found", r.PathValue("partition"),
		r.PathValue("offset"))
	p, err := strconv.Atoi(r.PathValue("partition"))
	if err != nil {
		return nil, missing
	}
	offset, err := strconv.ParseInt(r.PathValue("offset"), 10, 64)
	if err != nil {
		return nil, missing
	}
	topic := l.a.Config.Kafka.DeadLetters
	from, to, err := l.cl.client.Bounds(r.Context(), topic)
	if err != nil {
		return nil, err
	}
	if p < 0 || p >= len(from) || offset < from[p] || offset >= to[p] {
		return nil, missing
	}
	ms, err := l.cl.client.Fetch(r.Context(), topic, p, offset, 1)
	if err != nil {
		return nil, err
	}
	if len(ms) == 0 || ms[0].Offset != offset {
		return nil, missing
	}
	d, err := parseDeadLetter(ms[0])
	if err != nil {
		return nil, missing
	}
	m := deadMessage(d, ms[0])
	for name, value := range m.Headers {
		m.Headers[name] = strings.ToValidUTF8(value, "?")
	}
	m.Key = strings.ToValidUTF8(m.Key, "?")
	content := preview(ms[0])
	if d.Gone {
		content = "The message was gone from its topic before it could be copied."
	}
	return struct {
		DeadLetter
		Key     string            `json:"key"`
		Headers map[string]string `json:"headers"`
		Preview string            `json:"preview"`
	}{m.DeadLetter, m.Key, m.Headers, content}, nil
}

// preview says what the value of a message is, and shows its beginning.
func preview(m transport.Message) string {
	if err := m.Verify(); err != nil {
		return fmt.Sprintf("%v\n\n%s", err, beginning(m.Value))
	}
	if r, err := m.Reference(); r != nil {
		return fmt.Sprintf("The value is outside Kafka: object %s of %s bytes.", r.Object(), strconv.FormatInt(r.Size, 10))
	} else if err != nil {
		return fmt.Sprintf("The value is outside Kafka, but cannot be found: %v.", err)
	}
	batch, err := volarrow.Decode(m.Value, string(m.Key))
	if err == nil {
		return fmt.Sprintf("%s of %dx%dx%d, %v", app.Count(len(batch.Volumes), "volume"), batch.Dims[0], batch.Dims[1],
			batch.Dims[2], batch.Content)
	}
	return beginning(m.Value)
}

// beginning returns the first bytes of a value: as text if they are text, otherwise in hexadecimal.
func beginning(b []byte) string {
	if len(b) == 0 {
		return "The message is empty."
	}
	cut := b[:min(len(b), maxPreview)]
	text := strings.ToValidUTF8(string(cut), "") // a rune may be cut
	if len(text) > len(cut)-utf8.UTFMax && !strings.ContainsFunc(text, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\r' && r != '\t'
	}) {
		return text
	}
	return hex.Dump(b[:min(len(b), maxPreview/8)])
}

// replay sends dead letters back. The body has their IDs; without IDs, those that were not replayed before.
func (l letters) replay(w http.ResponseWriter, r *http.Request) (any, error) {
	var body struct {
		IDs []string `json:"ids"`
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxReplayBody))
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil {
		return nil, reply.Errorf(http.StatusBadRequest, `body: want {"ids": ["PARTITION:OFFSET"]}: %w`, err)
	}
	done, bad, err := replay(r.Context(), l.a, l.cl, ReplayOptions{
		Filter: LetterFilter{IDs: body.IDs}, Again: len(body.IDs) > 0, MaxReplays: DefaultMaxReplays,
	})
	if err == nil && bad != nil && done.Replayed == 0 {
		err = &reply.Error{Status: http.StatusNotFound, Err: bad}
	}
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"replayed": done.Replayed}
	if bad != nil {
		answer["problems"] = strings.Split(bad.Error(), "\n")
	}
	return answer, nil
}
