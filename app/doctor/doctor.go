// Package doctor checks whether the machine meets the program's requirements.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/voxelstream/voxelstream/app"
	"github.com/voxelstream/voxelstream/app/models"
	"github.com/voxelstream/voxelstream/internal/h5"
	"github.com/voxelstream/voxelstream/internal/sandbox"
	"github.com/voxelstream/voxelstream/internal/store"
	"github.com/voxelstream/voxelstream/nn"
	"github.com/voxelstream/voxelstream/pipeline/transport/embedded"
	"github.com/voxelstream/voxelstream/pipeline/transport/kafka"
)

// Check is the result of one check.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Found describes the state of the machine. Advice says what to do if that is not sufficient.
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"`
}

// leastFree is the recommended free disk space for the broker: its default retention times four partitions.
const leastFree = 1 << 30

// Run runs all checks. Failed checks are also returned as an error.
func Run(ctx context.Context, a *app.Env) ([]Check, error) {
	checks := []Check{
		{Name: "processor", OK: true, Found: fmt.Sprintf("%s, %d CPUs, %d threads, kernels %s", runtime.GOARCH,
			runtime.NumCPU(), a.Threads(), nn.Tier())},
		checkHDF5(),
		checkSandbox(ctx),
		checkKafka(ctx, a),
		checkDisk("broker data", a.Config.Broker.DataDir),
		checkModel(ctx, a),
	}
	if place := string(a.Config.Kafka.ClaimCheck); place != "" {
		checks = append(checks, checkClaimCheck(ctx, place))
	}
	outputs, _ := a.Config.Outputs() // the configuration has been validated
	for _, o := range outputs {
		if file := o.File(); file != "" {
			checks = append(checks, checkDisk("results", filepath.Dir(file)))
		}
	}
	checks = append(checks, checkLimits()...)
	var errs []error
	for _, c := range checks {
		if !c.OK {
			errs = append(errs, fmt.Errorf("%s: %s", c.Name, c.Found))
		}
	}
	return checks, errors.Join(errs...)
}

func checkHDF5() Check {
	if v := h5.LibraryVersion(); v != "" {
		return Check{Name: "hdf5", OK: true, Found: v}
	}
	return Check{
		Name: "hdf5", OK: true, Found: "not built in: HDF5 archives cannot be read",
		Advice: "install libhdf5-dev and libdeflate-dev and build with cgo (make setup, make build)",
	}
}

// checkSandbox starts a confined process. What this system cannot take away from it is no failure, unless it was
// demanded.
func checkSandbox(ctx context.Context) Check {
	c := Check{Name: "sandbox", OK: true}
	p, err := sandbox.Probe(ctx)
	switch {
	case err != nil:
		c.OK, c.Found = false, err.Error()
		c.Advice = "files are read in processes of their own: check the limits on processes and memory"
	case !p.Complete():
		c.Found = p.String()
		c.Advice = "use Linux 5.13 or newer with landlock and seccomp, and let the container's profile permit them"
	default:
		c.Found = p.String()
	}
	return c
}

// checkKafka connects to the cluster, or to an embedded broker that it starts and stops.
func checkKafka(ctx context.Context, a *app.Env) (c Check) {
	c.Name = "kafka"
	addrs := a.Config.Kafka.Brokers
	what := fmt.Sprint(addrs)
	fail := func(err error) Check {
		c.Found, c.Advice = what+": "+err.Error(), "check kafka.brokers, and that the cluster is running"
		return c
	}
	var conf kafka.Config
	var err error
	if len(addrs) > 0 {
		conf, err = a.KafkaConfig()
	} else {
		what = "embedded broker"
		b, startErr := embedded.Start(embedded.Config{})
		if startErr != nil {
			return fail(startErr)
		}
		defer b.Close() //nolint:errcheck // no longer needed
		conf, err = a.EmbeddedConfig(b.Addr())
	}
	if err != nil {
		return fail(err)
	}
	client, err := kafka.Open(conf)
	if err != nil {
		return fail(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	start := time.Now()
	if err := client.Ping(ctx); err != nil {
		return fail(err)
	}
	c.OK, c.Found = true, fmt.Sprintf("%s answers in %v", what, time.Since(start).Round(time.Millisecond))
	return c
}

// checkClaimCheck reads the place of volumes above the message limit. A folder need not exist: the first process that
// writes to it creates it.
func checkClaimCheck(ctx context.Context, place string) Check {
	c := Check{Name: "claim check", Found: store.Mask(place)}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	s, err := store.Attach(ctx, place)
	if err == nil {
		_, err = s.List(ctx, "doctor") // there is nothing of that name
		err = errors.Join(err, s.Close())
	}
	if err != nil {
		c.Found, c.Advice = err.Error(), "check kafka.claim_check, and that this machine may read there"
		return c
	}
	c.OK = true
	return c
}

// checkDisk checks the directory, or its nearest existing parent.
func checkDisk(name, dir string) Check {
	c := Check{Name: name}
	at, err := filepath.Abs(dir)
	for err == nil {
		if _, e := os.Stat(at); e == nil || filepath.Dir(at) == at {
			break
		}
		at = filepath.Dir(at)
	}
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(at, ".voxelstream-doctor-*"); err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
	}
	if err != nil {
		c.Found, c.Advice = err.Error(), "choose a writable directory"
		return c
	}
	free, err := freeBytes(at)
	if err != nil {
		c.OK, c.Found = true, dir+": free space unknown: "+err.Error()
		return c
	}
	c.OK, c.Found = true, fmt.Sprintf("%s: %.1f GiB free", dir, float64(free)/(1<<30))
	if free < leastFree {
		c.Advice = "free disk space, or lower broker.retention_bytes"
	}
	return c
}

func checkModel(ctx context.Context, a *app.Env) Check {
	m, err := models.Configured(ctx, a)
	if err != nil {
		return Check{Name: "model", Found: err.Error(), Advice: "choose another model with --model, or train one"}
	}
	total, _ := m.Count()
	return Check{Name: "model", OK: true, Found: fmt.Sprintf("%s, version %s, %d parameters", m.Info.Name,
		m.Info.Version, total)}
}
