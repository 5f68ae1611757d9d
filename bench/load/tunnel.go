package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"time"
)

var dialer = net.Dialer{KeepAlive: -1, Timeout: 10 * time.Second}

// The authority asked for is the upstream's own: proxies that let the client
// choose go there too.
var upstreamAddress string

const maxHeadBytes = 4096

// openTunnel connects to the job's address and, if it is to, asks for a tunnel.
func openTunnel(job Job) (net.Conn, error) {
	conn, err := dialer.Dial("tcp", job.Address)
	if err != nil || !job.Connect {
		return conn, err
	}
	if err := handshake(conn); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func handshake(conn net.Conn) error {
	request := "CONNECT " + upstreamAddress + " HTTP/1.1\r\nHost: " + upstreamAddress + "\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		return err
	}
	head := make([]byte, 0, 512)
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		if len(head) == maxHeadBytes {
			return fmt.Errorf("no end to the answer: %q", head)
		}
		if len(head) == cap(head) {
			head = append(head, 0)[:len(head)]
		}
		count, err := conn.Read(head[len(head):cap(head)])
		if err != nil {
			return fmt.Errorf("no answer to CONNECT: %w", err)
		}
		head = head[:len(head)+count]
	}
	if len(head) < 12 || string(head[9:12]) != "200" {
		return fmt.Errorf("refused: %q", head)
	}
	return nil
}

// roundTrip sends the message and reads as many bytes back.
func roundTrip(conn net.Conn, message, answer []byte) error {
	if len(message) <= bulkBytes/4 {
		if _, err := conn.Write(message); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, answer)
		return err
	}
	// What is larger than the buffers on the way must be read while it is written.
	written := make(chan error, 1)
	go func() {
		_, err := conn.Write(message)
		written <- err
	}()
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	return <-written
}

// echoMessage returns a message that the upstream echoes, and room for the answer.
func echoMessage(size int) (message, answer []byte) {
	return bytes.Repeat([]byte{echo}, size), make([]byte, size)
}
