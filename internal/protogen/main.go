// Protogen generates FILE.pb.go for each FILE.proto, as protoc does with protoc-gen-go. With -grpc, it also runs
// protoc-gen-go-grpc, which generates FILE_grpc.pb.go. The versions of the plugins are those in go.mod. protoc, which
// is not a Go program, is not needed.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/pluginpb"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("protogen: ")
	services := flag.Bool("grpc", false, "also generate the clients and servers of services")
	flag.Parse()
	plugins := []string{"google.golang.org/protobuf/cmd/protoc-gen-go"}
	if *services {
		plugins = append(plugins, "google.golang.org/grpc/cmd/protoc-gen-go-grpc")
	}
	if err := generate(context.Background(), plugins, flag.Args()); err != nil {
		log.Fatal(err)
	}
}

// generate compiles files, which import nothing, and writes the output of the plugins to the working folder.
func generate(ctx context.Context, plugins, files []string) error {
	compiler := protocompile.Compiler{
		Resolver:       &protocompile.SourceResolver{},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(ctx, files...)
	if err != nil {
		return err
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: files, Parameter: new("paths=source_relative")}
	for _, f := range compiled {
		request.ProtoFile = append(request.ProtoFile, protoutil.ProtoFromFileDescriptor(f))
	}
	for _, plugin := range plugins {
		response, err := run(ctx, plugin, request)
		if err != nil {
			return fmt.Errorf("%s: %w", path.Base(plugin), err)
		}
		for _, f := range response.GetFile() {
			if err := os.WriteFile(f.GetName(), []byte(f.GetContent()), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// run runs a plugin.
func run(ctx context.Context, plugin string, request *pluginpb.CodeGeneratorRequest) (
	*pluginpb.CodeGeneratorResponse, error,
) {
	in, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "run", plugin)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	response := &pluginpb.CodeGeneratorResponse{}
	if err := proto.Unmarshal(out, response); err != nil {
		return nil, fmt.Errorf("response: %w", err)
	}
	if response.Error != nil {
		return nil, errors.New(response.GetError())
	}
	return response, nil
}
