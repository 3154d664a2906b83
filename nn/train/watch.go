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
		return fmt.Errorf("monitor %s: there is no validation data", name)
	}
	return nil
}

// rises reports whether higher values of a metric are better: accuracy and area under the curve, but not loss.
func rises(monitor string) bool { return !strings.HasSuffix(monitor, "loss") }

// better reports whether value improves on best by more than delta.
func better(monitor string, value, best, delta float64) bool {
	if rises(monitor) {
		return value > best+delta
	}
	return value < best-delta
}

// worst returns a value that every other value improves on.
func worst(monitor string) float64 {
	if rises(monitor) {
		return -math.MaxFloat64
	}
	return math.MaxFloat64
}

// EarlyStopping stops training when a metric no longer improves, like Keras's callback.
type EarlyStopping struct {
	// Monitor is one of [Monitors].
	Monitor string
	// MinDelta is the smallest change that counts as an improvement.
	MinDelta float64
	// Patience is the number of consecutive epochs without improvement after which training stops; 0 never stops.
	Patience int
	// StartFrom is the number of epochs before monitoring starts.
	StartFrom int
	// Restore restores the weights of the best epoch at the end of training.
	Restore bool
}

// ReduceOnPlateau lowers the learning rate when a metric no longer improves, like Keras's ReduceLROnPlateau. It
// cannot be combined with a schedule.
type ReduceOnPlateau struct {
	Monitor string
	// Factor multiplies the rate after Patience epochs without an improvement of more than MinDelta. The rate does
	// not fall below MinRate.
	Factor, MinDelta, MinRate float64
	Patience                  int
	// Cooldown is the number of epochs after a reduction before monitoring resumes.
	Cooldown int
}

// stopper is the state of an EarlyStopping.
type stopper struct {
	Best      float64 `json:"best"`
	BestEpoch int     `json:"best_epoch"` // from 1; 0 means none yet
	Wait      int     `json:"wait"`
	Stopped   bool    `json:"stopped"`
}

// see records the metric of an epoch, counted from 1, and reports whether it is the best so far.
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

// plateau is the state of a ReduceOnPlateau.
type plateau struct {
	Best     float64 `json:"best"`
	Wait     int     `json:"wait"`
	Cooldown int     `json:"cooldown"`
}

// see records the metric of an epoch and returns the learning rate to continue with.
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
