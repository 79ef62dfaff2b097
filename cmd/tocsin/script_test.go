package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "tocsin-cmd")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
		binary = filepath.Join(dir, "tocsin")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// result is what a run of the program left.
type result struct {
	stdout, stderr []byte
	code           int
}

// tocsin runs the program in dir.
func tocsin(ctx context.Context, t testing.TB, dir string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TZ=America/St_Johns", "TOCSIN_DATA="+filepath.Join(dir, "data"))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatalf("tocsin %q: %v", args, err)
	}
	return result{out.Bytes(), errs.Bytes(), cmd.ProcessState.ExitCode()}
}

// server is a running `tocsin serve`.
type server struct {
	url  string
	cmd  *exec.Cmd
	log  *syncBuffer
	done chan error
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// freePort asks the system for a port of loopback that nobody listens on.
func freePort(t testing.TB) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // nothing was sent
	return l.Addr().String()
}

// serveOn starts a server on a data directory and waits until it takes
// commands; it ends with the test.
func serveOn(t testing.TB, data string, args ...string) *server {
	t.Helper()
	addr := freePort(t)
	s := &server{url: "http://" + addr, log: &syncBuffer{}, done: make(chan error, 1)}
	s.cmd = exec.Command(binary, append([]string{"serve", "--data", data, "--listen", addr}, args...)...)
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.done <- s.cmd.Wait() }()
	t.Cleanup(func() { s.stop(t) })
	until(t, "the server takes commands: "+s.log.String(), func() bool {
		select {
		case err := <-s.done:
			s.done <- err
			t.Fatalf("the server ended: %v\n%s", err, s.log)
		default:
		}
		return strings.Contains(s.log.String(), `"serving"`)
	})
	return s
}

// stop asks the server to stop, and holds that it does so cleanly.
func (s *server) stop(t testing.TB) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
	select {
	case err := <-s.done:
		if err != nil {
			t.Errorf("the server did not stop cleanly: %v\n%s", err, s.log)
		}
	case <-time.After(30 * time.Second):
		_ = s.cmd.Process.Kill()
		t.Errorf("the server did not stop within 30 s\n%s", s.log)
	}
	s.cmd = nil
}

// until waits for another process: it looks again and again, and fails after
// 30 s.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(30 * time.Second); ; {
		if ok() {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("not after 30 s: %s", what)
		}
	}
}

// script runs one script in a folder of its own. A script is a txtar archive:
// its files, and lines of
//
//	tocsin ARGS...      run the program; it must end with 0
//	! tocsin ARGS...    run it; it must fail
//	code N              the exit code of the last run
//	stdout RE, stderr RE, ! stdout RE, ! stderr RE
//	lines N             how many lines it printed
//	json PATH VALUE     the value in the document it printed; PATH ends in # for a length
//	set NAME PATH       keep a value of the document as $NAME
//	save NAME, same NAME    keep what it printed, or hold it against what was kept
//	server start, server stop
//	remove PATH
//
// $DATA is the data directory, that of the environment for all runs.
type script struct {
	t    *testing.T
	dir  string
	env  map[string]string
	last result
	srv  *server
	what string // the line, for errors
}

var word = regexp.MustCompile(`'[^']*'|\S+`)

func (s *script) words(line string) []string {
	var out []string
	for _, w := range word.FindAllString(line, -1) {
		if len(w) > 1 && w[0] == '\'' && w[len(w)-1] == '\'' {
			w = w[1 : len(w)-1]
		} else {
			w = os.Expand(w, func(k string) string {
				v, ok := s.env[k]
				if !ok {
					s.t.Fatalf("%s: no $%s", s.what, k)
				}
				return v
			})
		}
		out = append(out, w)
	}
	return out
}

func (s *script) fail(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%s: %s\nexit code %d\nstdout:\n%.2000s\nstderr:\n%.2000s", s.what, fmt.Sprintf(format, args...), s.last.code, s.last.stdout, s.last.stderr)
}

func (s *script) run(name string, body []byte) {
	s.t.Helper()
	for i, line := range strings.Split(string(body), "\n") {
		s.what = fmt.Sprintf("%s:%d: %s", name, i+1, line)
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		line, not := strings.CutPrefix(line, "! ")
		rest := ""
		if verb, tail, ok := strings.Cut(line, " "); ok && (verb == "stdout" || verb == "stderr") {
			line, rest = verb, strings.Trim(strings.TrimSpace(tail), "'")
		}
		s.step(s.words(line), rest, !not)
	}
}

func (s *script) step(w []string, rest string, want bool) {
	s.t.Helper()
	arg := func(i int) string {
		if i >= len(w) {
			s.fail("a word is missing")
		}
		return w[i]
	}
	switch w[0] {
	case "tocsin":
		s.last = tocsin(s.t.Context(), s.t, s.dir, w[1:]...)
		if (s.last.code == 0) != want {
			s.fail("exit code")
		}
	case "code":
		if strconv.Itoa(s.last.code) != arg(1) {
			s.fail("exit code")
		}
	case "stdout", "stderr":
		b := s.last.stdout
		if w[0] == "stderr" {
			b = s.last.stderr
		}
		if regexp.MustCompile("(?m)"+rest).Match(b) != want {
			s.fail("does not hold")
		}
	case "lines":
		if n := bytes.Count(s.last.stdout, []byte{'\n'}); strconv.Itoa(n) != arg(1) {
			s.fail("%d lines", n)
		}
	case "json":
		if got := s.value(arg(1)); (got == arg(2)) != want {
			s.fail("is %s", got)
		}
	case "set":
		s.env[arg(1)] = s.value(arg(2))
	case "save":
		if err := os.WriteFile(filepath.Join(s.dir, arg(1)), s.last.stdout, 0o600); err != nil {
			s.t.Fatal(err)
		}
	case "same":
		b, err := os.ReadFile(filepath.Join(s.dir, arg(1)))
		if err != nil || bytes.Equal(b, s.last.stdout) != want {
			s.fail("%s was\n%.2000s\n%v", arg(1), b, err)
		}
	case "remove":
		if err := os.RemoveAll(filepath.Join(s.dir, arg(1))); err != nil {
			s.t.Fatal(err)
		}
	case "server":
		if arg(1) == "start" {
			s.srv = serveOn(s.t, s.env["DATA"])
		} else {
			s.srv.stop(s.t)
		}
	default:
		s.fail("no such verb")
	}
}

// value finds a value in the document printed last, as JSON writes it, without
// the quotes of a string.
func (s *script) value(path string) string {
	s.t.Helper()
	d := json.NewDecoder(bytes.NewReader(s.last.stdout))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		s.fail("no JSON: %v", err)
	}
	if d.More() {
		s.fail("more than one document")
	}
	for k := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case map[string]any:
			if k == "#" {
				v = len(x)
				continue
			}
			var ok bool
			if v, ok = x[k]; !ok {
				return "absent"
			}
		case []any:
			if k == "#" {
				v = len(x)
				continue
			}
			i, err := strconv.Atoi(k)
			if err != nil || i >= len(x) {
				return "absent"
			}
			v = x[i]
		default:
			return "absent"
		}
	}
	if text, ok := v.(string); ok {
		return text
	}
	b, err := json.Marshal(v)
	if err != nil {
		s.fail("%v", err)
	}
	return string(b)
}

// TestScripts runs testdata/script. Those that say so in their first line run
// twice, without a server and beside one, with the same results.
func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, f := range files {
		ar, err := txtar.ParseFile(f)
		if err != nil {
			t.Fatal(err)
		}
		modes := []string{"alone"}
		if strings.HasPrefix(string(ar.Comment), "# alone and beside a server\n") {
			modes = append(modes, "beside")
		}
		name := strings.TrimSuffix(filepath.Base(f), ".txtar")
		for _, mode := range modes {
			t.Run(name+"/"+mode, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				data := filepath.Join(dir, "data")
				if err := os.Mkdir(data, 0o700); err != nil {
					t.Fatal(err)
				}
				for _, f := range ar.Files {
					path := filepath.Join(dir, filepath.FromSlash(f.Name))
					if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(path, f.Data, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				s := &script{t: t, dir: dir, env: map[string]string{"DATA": data, "WORK": dir}}
				if mode == "beside" {
					s.srv = serveOn(t, data)
				}
				s.run(name, ar.Comment)
			})
		}
	}
}

// TestCommandsAreTold holds that every command is in a script, with and without
// --json, and that its help says what it does.
func TestCommandsAreTold(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range files {
		ar, err := txtar.ParseFile(f)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.Split(string(ar.Comment), "\n")...)
	}
	help := tocsin(t.Context(), t, t.TempDir(), "--help")
	_, list, ok := strings.Cut(string(help.stdout), "Commands:\n")
	if !ok {
		t.Fatalf("help: %s", help.stdout)
	}
	n := 0
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+(?: [a-z]+)?)  `).FindAllStringSubmatch(list, -1) {
		n++
		name := strings.TrimSuffix(m[1], " list") // what the command does by itself
		if name == "serve" {
			continue // every script beside a server
		}
		for _, with := range []bool{false, true} {
			if !slices.ContainsFunc(lines, func(l string) bool {
				return strings.HasPrefix(l, "tocsin "+name+" ") && strings.Contains(l, " --json") == with || l == "tocsin "+name && !with
			}) {
				t.Errorf("no script runs `tocsin %s`, --json %t", name, with)
			}
		}
	}
	if n < 20 {
		t.Errorf("%d commands in the help", n)
	}
}
