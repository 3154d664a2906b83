//go:build unix

package testenv

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Postgres is a PostgreSQL server with a database cluster of its own. The superuser postgres has the password "secret",
// which connections over TCP need.
type Postgres struct {
	// Dir has the Unix socket, and the cluster in the folder data.
	Dir string
	// Port is the port on 127.0.0.1 and the number of the Unix socket.
	Port int

	bin    string
	owner  *syscall.Credential // of the server, which refuses to run as root
	server *exec.Cmd
	ended  chan struct{} // closed when the server has ended
}

// PostgresPassword is the password of the superuser.
const PostgresPassword = "secret"

// ErrNoPostgres means that no server is installed.
var ErrNoPostgres = errors.New("found no PostgreSQL server, which scripts/servers installs")

// StartPostgres makes a cluster and starts its server. Stop must be called.
func StartPostgres() (*Postgres, error) {
	bin, err := postgresBin()
	if err != nil {
		return nil, err
	}
	p := &Postgres{bin: bin}
	// The server's owner cannot read the folders of testing.TB.
	if p.Dir, err = os.MkdirTemp("", "postgres"); err != nil {
		return nil, err
	}
	if err := p.create(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(p.Dir))
	}
	return p, nil
}

// postgresBin returns the folder of the server's programs: that of the newest version in Debian's packages, or the one
// in the search path.
func postgresBin() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if path, err := exec.LookPath("postgres"); err == nil {
		found = append(found, path)
	}
	if len(found) == 0 {
		return "", ErrNoPostgres
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

func (p *Postgres) create() error {
	if os.Geteuid() == 0 {
		nobody, err := user.Lookup("nobody")
		if err != nil {
			return err
		}
		uid, err := strconv.Atoi(nobody.Uid)
		if err != nil {
			return err
		}
		p.owner = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.Port = free.Addr().(*net.TCPAddr).Port
	if err := free.Close(); err != nil {
		return err
	}
	if err := errors.Join(p.Put("password", PostgresPassword), p.Put("", "")); err != nil {
		return err
	}
	initdb := p.command("initdb", "-D", "data", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync",
		"--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile=password")
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return p.Start()
}

// Put writes a file of the server's owner, relative to Dir. Without a name, it only gives Dir to the owner.
func (p *Postgres) Put(name, content string) error {
	path := filepath.Join(p.Dir, name)
	if name != "" {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	if p.owner == nil {
		return nil
	}
	return os.Chown(path, int(p.owner.Uid), int(p.owner.Gid))
}

func (p *Postgres) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir = p.Dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.owner}
	return cmd
}

// Start starts the server, after Kill, and waits until it answers.
func (p *Postgres) Start() error {
	var last error
	for range 100 {
		// After a kill, the server refuses to start while processes of its predecessor are still there.
		if !p.running() {
			if err := p.start(); err != nil {
				return err
			}
		}
		if _, last = p.SQL("postgres", "SELECT 1"); last == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	p.Kill()
	said, _ := os.ReadFile(filepath.Join(p.Dir, "log"))
	return fmt.Errorf("the PostgreSQL server does not answer: %w: %s", last, said)
}

func (p *Postgres) start() error {
	log, err := os.Create(filepath.Join(p.Dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the server writes to it
	p.server = p.command("postgres", "-D", "data", "-k", p.Dir, "-p", strconv.Itoa(p.Port), "-c", "fsync=off",
		"-c", "listen_addresses=127.0.0.1", "-c", "shared_buffers=16MB", "-c", "max_connections=20")
	p.server.Stdout, p.server.Stderr = log, log
	if err := p.server.Start(); err != nil {
		return err
	}
	p.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan<- struct{}) {
		cmd.Wait() //nolint:errcheck // the log says why it ended
		close(ended)
	}(p.server, p.ended)
	return nil
}

func (p *Postgres) running() bool {
	if p.server == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Kill kills the server with SIGKILL, with all its processes, which would otherwise finish what they are doing.
func (p *Postgres) Kill() {
	pids, _ := p.SQL("postgres", "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
	p.end(syscall.SIGKILL)
	for line := range strings.FieldsSeq(pids) {
		if pid, err := strconv.Atoi(line); err == nil {
			syscall.Kill(pid, syscall.SIGKILL) //nolint:errcheck // it may have ended
		}
	}
}

// Stop ends the server and removes its folder.
func (p *Postgres) Stop() error {
	p.end(syscall.SIGQUIT)
	return os.RemoveAll(p.Dir)
}

func (p *Postgres) end(s syscall.Signal) {
	if p.running() {
		p.server.Process.Signal(s) //nolint:errcheck // it may have ended
		<-p.ended
	}
}

// SQL executes statements in a database with psql as superuser. It returns the rows of results as lines, with values
// separated by vertical bars.
func (p *Postgres) SQL(database, statements string) (string, error) {
	cmd := p.command("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", p.Dir, "-p", strconv.Itoa(p.Port),
		"-U", "postgres", "-d", database, "-c", statements)
	cmd.Env = append(os.Environ(), "HOME="+p.Dir)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, problems.String())
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

// MustSQL is SQL, which must succeed.
func (p *Postgres) MustSQL(tb testing.TB, database, statements string) string {
	tb.Helper()
	out, err := p.SQL(database, statements)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}
