// Command pod is what the ring's own pods run. With no argument it is the pause container: it holds
// the pod's namespaces until it is told to end. Its other words serve, fetch, and say where it runs.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// Longer than a name server's first answer takes on a busy machine.
const patience = 5 * time.Second

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(words []string) error {
	switch strings.Join(words, " ") {
	case "":
		return pause()
	case "serve":
		return serve()
	case "cpus":
		return cpus()
	}
	if len(words) == 2 && words[0] == "get" {
		return get(words[1])
	}
	return fmt.Errorf("usage: pod [serve | cpus | get URL], not %q", words)
}

// pause waits to be ended, and reaps what other containers of a shared process namespace leave.
func pause() error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for received := range signals {
		if received != syscall.SIGCHLD {
			break
		}
		for {
			child, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
			if child <= 0 || err != nil {
				break
			}
		}
	}
	return nil
}

// serve answers every request with the pod's name.
func serve() error {
	name, err := os.Hostname()
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-signals
		os.Exit(0)
	}()
	return http.ListenAndServe(":8080", http.HandlerFunc(func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(answer, name)
	}))
}

// cpus prints the CPUs that the kernel lets this container run on.
func cpus() error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		if list, found := strings.CutPrefix(line, "Cpus_allowed_list:"); found {
			fmt.Println(strings.TrimSpace(list))
		}
	}
	return nil
}

// get prints what a URL answers.
func get(url string) error {
	client := http.Client{Timeout: patience}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}
