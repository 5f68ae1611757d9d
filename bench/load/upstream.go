package main

import (
	"context"
	"net"
	"sync/atomic"
)

// The first byte of a connection says what the upstream does with it.
const (
	echo   = 'e' // sends back every byte, the first one too
	once   = 'o' // sends back what has come with it, and closes
	sink   = 's' // reads
	source = 'd' // writes
)

const bulkBytes = 256 * 1024

// sunkBytes counts what all sinks have read.
var sunkBytes atomic.Int64

// startUpstream serves on a free port and returns its address.
func startUpstream() (string, error) {
	// A negative time: no keep-alive probes, and no system calls to set them.
	config := net.ListenConfig{KeepAlive: -1}
	listener, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				continue
			}
			go serve(conn)
		}
	}()
	return listener.Addr().String(), nil
}

func serve(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 2048)
	count, err := conn.Read(buffer)
	if err != nil {
		return
	}
	switch buffer[0] {
	case echo:
		serveEcho(conn, buffer, count)
	case once:
		conn.Write(buffer[:count])
	case sink:
		serveSink(conn)
	case source:
		serveSource(conn)
	}
}

func serveEcho(conn net.Conn, buffer []byte, count int) {
	for {
		if _, err := conn.Write(buffer[:count]); err != nil {
			return
		}
		if count == len(buffer) && count < bulkBytes {
			buffer = make([]byte, bulkBytes)
		}
		var err error
		if count, err = conn.Read(buffer); err != nil {
			return
		}
	}
}

func serveSink(conn net.Conn) {
	buffer := make([]byte, bulkBytes)
	for {
		count, err := conn.Read(buffer)
		sunkBytes.Add(int64(count))
		if err != nil {
			return
		}
	}
}

func serveSource(conn net.Conn) {
	buffer := make([]byte, bulkBytes)
	for {
		if _, err := conn.Write(buffer); err != nil {
			return
		}
	}
}
