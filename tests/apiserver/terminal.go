package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
)

// runInTerminal runs a process to its end in a session of its own, whose
// terminal is typed in at with in, shows on out and is resized by sizes. Once
// in ends or out fails there is nobody at the terminal: the process is hung up
// on.
func runInTerminal(process *exec.Cmd, in io.Reader, out io.Writer, sizes <-chan remotecommand.TerminalSize) error {
	near, far, err := openTerminal()
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	defer near.Close()

	process.Stdin, process.Stdout, process.Stderr = far, far, far
	process.SysProcAttr.Setsid = true
	process.SysProcAttr.Setctty = true // of the new session, the process's own stdin
	err = process.Start()
	_ = far.Close() // its last holder ends the output
	if err != nil {
		return err
	}

	if in != nil {
		go func() {
			_, _ = io.Copy(near, in)
			_ = near.Close()
		}()
	}
	go func() {
		for size := range sizes {
			_ = resize(near, size)
		}
	}()
	_, _ = io.Copy(out, near) // ends with EIO, as terminals do
	_ = near.Close()
	return process.Wait()
}

// openTerminal opens both ends of a new pseudo-terminal: the near one for who
// looks at it and types, the far one for the process.
func openTerminal() (near, far *os.File, err error) {
	near, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	var number int
	err = control(near, func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	if err == nil {
		far, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		_ = near.Close()
		return nil, nil, err
	}
	return near, far, nil
}

func resize(terminal *os.File, size remotecommand.TerminalSize) error {
	return control(terminal, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: size.Height, Col: size.Width})
	})
}

// control calls f with the descriptor of a file, which stays open meanwhile
// and does not start to block, as it would with File.Fd.
func control(file *os.File, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return err
	}
	return failed
}
