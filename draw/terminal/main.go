// Terminal draws what it reads from standard input as a terminal shows it: go run ./draw/terminal OUT.png
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	"github.com/voxelstream/voxelstream/draw"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "terminal:", err)
		os.Exit(1)
	}
}

func run() (err error) {
	if len(os.Args) != 2 {
		return errors.New("usage: terminal OUT.png")
	}
	format, err := draw.FormatOf(os.Args[1], false)
	if err != nil {
		return err
	}
	var lines []string
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		lines = append(lines, in.Text())
	}
	if err := in.Err(); err != nil {
		return err
	}
	out, err := os.Create(os.Args[1])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	return format.Write(out, draw.Terminal(lines))
}
