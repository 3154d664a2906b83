package stream

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/voxelstream/voxelstream/nn/train"
	"github.com/voxelstream/voxelstream/record"
)

// maxPairs is the maximum number of pairs of classes to count. Volumes of further pairs count as disagreements only.
const maxPairs = 4096

// Rollout compares a model on trial with the one that serves.
type Rollout struct {
	// Mode is "shadow" or "canary", Percent the share of volumes or streams that the candidate classifies.
	Mode    string  `json:"mode"`
	Percent float64 `json:"percent"`
	// Serving and Candidate describe the same volumes in a shadow, and different ones in a canary.
	Serving   RolloutModel `json:"serving"`
	Candidate RolloutModel `json:"candidate"`
	// Failed is why the candidate is not used any more; empty while it is.
	Failed string `json:"failed,omitempty"`
	// Shadow is absent for a canary.
	Shadow *ShadowReport `json:"shadow,omitempty"`
}

// RolloutModel is what is known of the volumes that a model has classified. Redelivered volumes count again.
type RolloutModel struct {
	record.Model
	Volumes int `json:"volumes"`
	// Labelled counts the volumes with a label, and Correct those whose class is the label. Accuracy and ECE, the
	// expected calibration error, are absent without labels.
	Labelled int      `json:"labelled"`
	Correct  int      `json:"correct"`
	Accuracy *float64 `json:"accuracy,omitempty"`
	ECE      *float64 `json:"ece,omitempty"`
	// MeanScore is that of the best class, MillisPerVolume the time of one thread. Both are absent without volumes.
	MeanScore       *float64 `json:"mean_score,omitempty"`
	MillisPerVolume *float64 `json:"thread_ms_per_volume,omitempty"`
}

// ShadowReport compares what two models say about the same volumes.
type ShadowReport struct {
	// Compared counts the volumes that both have classified, LeftOut those that only the serving model has: there was no
	// spare capacity, or the candidate had failed.
	Compared int `json:"compared"`
	LeftOut  int `json:"left_out"`
	// Agreed counts the volumes of which both say the same class.
	Agreed    int      `json:"agreed"`
	Agreement *float64 `json:"agreement,omitempty"`
	// ScoreDifference is the mean of the candidate's best score minus that of the serving model.
	ScoreDifference *float64 `json:"mean_score_difference,omitempty"`
	// Disagreements are the pairs of classes in which the models differ, most frequent first.
	Disagreements []Disagreement `json:"disagreements"`
}

// Disagreement is a pair of classes that the two models found for the same volumes.
type Disagreement struct {
	Serving       int    `json:"serving"`
	ServingName   string `json:"serving_name,omitempty"`
	Candidate     int    `json:"candidate"`
	CandidateName string `json:"candidate_name,omitempty"`
	Volumes       int    `json:"volumes"`
}

// verdict is what a model says about a volume.
type verdict struct {
	class int
	name  string
	score float32
	label int32         // -1 if unknown
	took  time.Duration // of one thread
}

func verdictOf(c *record.Classification, took time.Duration) verdict {
	v := verdict{class: c.Class, name: c.Name, score: c.Score, label: -1, took: took}
	if c.Label != nil {
		v.label = *c.Label
	}
	return v
}

// sameClass compares classes by name, or by number if one of the models has no names.
func (v verdict) sameClass(w verdict) bool {
	if v.name != "" && w.name != "" {
		return v.name == w.name
	}
	return v.class == w.class
}

// account sums the verdicts of a model.
type account struct {
	volumes, labelled, correct int
	scores                     float64
	calibration                train.Calibration
	time                       time.Duration // of one thread
}

func (a *account) add(v verdict) {
	a.volumes++
	a.scores += float64(v.score)
	a.time += v.took
	if v.label < 0 {
		return
	}
	a.labelled++
	correct := int(v.label) == v.class
	if correct {
		a.correct++
	}
	a.calibration.Add(float64(v.score), correct)
}

func (a *account) report(m record.Model) RolloutModel {
	r := RolloutModel{Model: m, Volumes: a.volumes, Labelled: a.labelled, Correct: a.correct}
	if a.volumes > 0 {
		score, each := a.scores/float64(a.volumes), a.time.Seconds()*1000/float64(a.volumes)
		r.MeanScore, r.MillisPerVolume = &score, &each
	}
	if a.labelled > 0 {
		accuracy, ece := float64(a.correct)/float64(a.labelled), a.calibration.ECE()
		r.Accuracy, r.ECE = &accuracy, &ece
	}
	return r
}

// comparison counts what two models say. It is safe for concurrent use.
type comparison struct {
	mu                 sync.Mutex
	model              record.Model // that serves
	serving, candidate account
	compared, agreed   int
	leftOut            int
	difference         float64
	pairs              map[[2]int]*Disagreement
}

// begin forgets what was counted with another serving model.
func (c *comparison) begin(serving record.Model) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.model == serving {
		return
	}
	c.model, c.serving, c.candidate, c.pairs = serving, account{}, account{}, nil
	c.compared, c.agreed, c.leftOut, c.difference = 0, 0, 0, 0
}

// both counts the verdicts of both models about a volume. It reports whether they agree.
func (c *comparison) both(serving, candidate verdict) (agree bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serving.add(serving)
	c.candidate.add(candidate)
	c.compared++
	c.difference += float64(candidate.score) - float64(serving.score)
	if serving.sameClass(candidate) {
		c.agreed++
		return true
	}
	pair := [2]int{serving.class, candidate.class}
	if c.pairs[pair] == nil {
		if len(c.pairs) >= maxPairs {
			return false
		}
		if c.pairs == nil {
			c.pairs = map[[2]int]*Disagreement{}
		}
		c.pairs[pair] = &Disagreement{serving.class, serving.name, candidate.class, candidate.name, 0}
	}
	c.pairs[pair].Volumes++
	return false
}

// left counts volumes that the candidate has not classified.
func (c *comparison) left(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leftOut += n
}

// one counts the verdict of one of the models about a volume.
func (c *comparison) one(candidate bool, v verdict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if candidate {
		c.candidate.add(v)
	} else {
		c.serving.add(v)
	}
}

// shadow reports on the volumes that both models were to classify.
func (c *comparison) shadow() *ShadowReport {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &ShadowReport{Compared: c.compared, LeftOut: c.leftOut, Agreed: c.agreed, Disagreements: []Disagreement{}}
	if c.compared > 0 {
		agreement, difference := float64(c.agreed)/float64(c.compared), c.difference/float64(c.compared)
		s.Agreement, s.ScoreDifference = &agreement, &difference
	}
	for d := range maps.Values(c.pairs) {
		s.Disagreements = append(s.Disagreements, *d)
	}
	slices.SortFunc(s.Disagreements, func(a, b Disagreement) int {
		return cmp.Or(cmp.Compare(b.Volumes, a.Volumes), cmp.Compare(a.Serving, b.Serving),
			cmp.Compare(a.Candidate, b.Candidate))
	})
	return s
}

// models reports on each of the models.
func (c *comparison) models(candidate record.Model) (s, d RolloutModel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.serving.report(c.model), c.candidate.report(candidate)
}
