package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"sync"
	"syscall"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

// container stands in for a container runtime. Its main process is imagined:
// it prints every byte typed at it, so that what attach sends, logs shows. A
// command run in it is a plain child process in a scratch directory, and its
// ports are those of the machine.
type container struct {
	dir    string
	output transcript
}

func newContainer(dir string) *container {
	return &container{dir: dir, output: transcript{grown: make(chan struct{})}}
}

// Exec runs a command until it ends, in a terminal if one is asked for.
func (c *container) Exec(ctx context.Context, _ string, command []string, in io.Reader, out, errOut io.WriteCloser,
	tty bool, sizes <-chan remotecommand.TerminalSize) error {
	process := exec.CommandContext(ctx, command[0], command[1:]...)
	process.Dir = c.dir
	process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

	var err error
	if tty {
		err = runInTerminal(process, in, out, sizes)
	} else {
		err = runWithPipes(process, in, out, errOut)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return utilexec.CodeExitError{Err: err, Code: exit.ExitCode()}
	}
	return err
}

func runWithPipes(process *exec.Cmd, in io.Reader, out, errOut io.Writer) error {
	process.Stdout, process.Stderr = out, errOut
	if in != nil {
		// Copied here and not by the process itself, which would not end
		// before its input does.
		stdin, err := process.StdinPipe()
		if err != nil {
			return err
		}
		go func() {
			_, _ = io.Copy(stdin, in)
			_ = stdin.Close()
		}()
	}
	return process.Run()
}

// Attach types in at the main process and shows what it prints meanwhile. It
// ends when in does; without in, when the client is gone.
func (c *container) Attach(ctx context.Context, _ string, in io.Reader, out, _ io.WriteCloser,
	_ bool, _ <-chan remotecommand.TerminalSize) error {
	if in == nil {
		return c.output.follow(ctx, out, c.output.len())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	from := c.output.len()
	go func() {
		defer cancel()
		_, _ = io.Copy(&c.output, in)
	}()
	return c.output.follow(ctx, out, from)
}

// PortForward connects the stream to a port of this machine.
func (c *container) PortForward(_ context.Context, _ string, port int32, stream io.ReadWriteCloser) error {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer conn.Close()
	go func() {
		_, _ = io.Copy(conn, stream)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, conn)
	return err
}

func (c *container) serveLogs(w http.ResponseWriter, r *http.Request) {
	controller := http.NewResponseController(w)
	out := writerFunc(func(p []byte) (int, error) {
		n, err := w.Write(p)
		return n, errors.Join(err, controller.Flush())
	})
	ctx := r.Context()
	if r.URL.Query().Get("follow") != "true" {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		ctx = ended
	}
	_ = c.output.follow(ctx, out, 0)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// transcript keeps what was written to it, for any number of followers.
type transcript struct {
	mu    sync.Mutex
	text  []byte
	grown chan struct{} // closed at the next write
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	close(t.grown)
	t.grown = make(chan struct{})
	return len(p), nil
}

func (t *transcript) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.text)
}

// follow writes all text from an offset on, and what comes later until ctx
// ends. Text that was there before ctx ended is never left out.
func (t *transcript) follow(ctx context.Context, out io.Writer, from int) error {
	for {
		over := ctx.Err() != nil
		t.mu.Lock()
		text, grown := t.text[from:], t.grown
		t.mu.Unlock()
		if len(text) > 0 {
			if _, err := out.Write(text); err != nil {
				return err
			}
			from += len(text)
		}
		if over {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
		}
	}
}
