package train

import (
	"fmt"
	"math"
	"strings"
)

func checkMonitor(name string, validated bool) error {
	if _, err := monitors.find("monitor", name); err != nil {
		return err
	}
	if strings.HasPrefix(name, "val_") && !validated {
		return fmt.Errorf("monitor %s: there is nothing to validate on", name)
	}
	return nil
}

// better says whether value improves on best by more than delta: more accuracy, less loss.
func better(monitor string, value, best, delta float64) bool {
	if strings.HasSuffix(monitor, "accuracy") {
		return value > best+delta
	}
	return value < best-delta
}

// worst is what every value improves on.
func worst(monitor string) float64 {
	if strings.HasSuffix(monitor, "accuracy") {
		return -math.MaxFloat64
	}
	return math.MaxFloat64
}

// EarlyStopping watches a figure as Keras's callback does.
type EarlyStopping struct {
	// Monitor is loss, accuracy, val_loss or val_accuracy.
	Monitor string
	// MinDelta is the least change that counts as better.
	MinDelta float64
	// Patience is how many epochs in a row may be no better before training stops; 0: it does not stop.
	Patience int
	// StartFrom is how many epochs pass before it begins to watch.
	StartFrom int
	// Restore gives the model, at the end, the weights of the best epoch.
	Restore bool
}

// ReduceOnPlateau lowers the learning rate when a figure gets no better, as Keras's ReduceLROnPlateau. It does not
// go with a schedule.
type ReduceOnPlateau struct {
	Monitor string
	// Factor is what the rate is multiplied by after Patience epochs without a change of more than MinDelta; it
	// does not fall below MinRate.
	Factor, MinDelta, MinRate float64
	Patience                  int
	// Cooldown is how many epochs pass after that before it watches again.
	Cooldown int
}

// stopper is where an EarlyStopping is.
type stopper struct {
	Best      float64 `json:"best"`
	BestEpoch int     `json:"best_epoch"` // from 1; 0: none yet
	Wait      int     `json:"wait"`
	Stopped   bool    `json:"stopped"`
}

// see takes the figure of an epoch, which counts from 1, and says whether it is the best so far.
func (s *stopper) see(e *EarlyStopping, epoch int, value float64) bool {
	if epoch <= e.StartFrom {
		return false
	}
	s.Wait++
	best := s.BestEpoch == 0 || better(e.Monitor, value, s.Best, math.Abs(e.MinDelta))
	if best {
		s.Best, s.BestEpoch, s.Wait = value, epoch, 0
	}
	s.Stopped = e.Patience > 0 && s.Wait >= e.Patience
	return best
}

// plateau is where a ReduceOnPlateau is.
type plateau struct {
	Best     float64 `json:"best"`
	Wait     int     `json:"wait"`
	Cooldown int     `json:"cooldown"`
}

// see takes the figure of an epoch and returns the rate to go on with.
func (p *plateau) see(r *ReduceOnPlateau, value, rate float64) float64 {
	if p.Cooldown > 0 {
		p.Cooldown--
		p.Wait = 0
	}
	if better(r.Monitor, value, p.Best, r.MinDelta) {
		p.Best, p.Wait = value, 0
		return rate
	}
	if p.Cooldown > 0 {
		return rate
	}
	if p.Wait++; p.Wait < r.Patience || rate <= r.MinRate {
		return rate
	}
	p.Wait, p.Cooldown = 0, r.Cooldown
	return max(rate*r.Factor, r.MinRate)
}
