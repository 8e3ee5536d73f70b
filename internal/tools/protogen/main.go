// Command protogen generates the Go messages of the .proto files below a folder, beside each file. It compiles them
// itself and needs no protoc. Of a service only the descriptor is generated.
//
// Usage:
//
//	protogen [-check] DIR
//
// DIR is the root of the import paths. With -check nothing is written; files that are missing, stale or left over are
// listed, and the exit code is 1.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// importRoot is the Go import path of DIR: the part of go_package that the paths of the generated files leave out.
const importRoot = "github.com/feastgo/feast/internal/protos"

func main() {
	check := flag.Bool("check", false, "write nothing, list what is out of date")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: protogen [-check] DIR")
		os.Exit(2)
	}
	if err := run(context.Background(), flag.Arg(0), *check); err != nil {
		fmt.Fprintln(os.Stderr, "protogen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, check bool) error {
	protos, err := find(dir, ".proto")
	if err != nil {
		return err
	}
	want, err := generate(ctx, dir, protos)
	if err != nil {
		return err
	}
	have, err := find(dir, ".pb.go")
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range have {
		if _, ok := want[name]; ok {
			continue
		}
		if check {
			errs = append(errs, fmt.Errorf("%s belongs to no .proto file: run make generate", name))
		} else {
			errs = append(errs, os.Remove(filepath.Join(dir, name)))
		}
	}
	for name, content := range want {
		path := filepath.Join(dir, name)
		old, err := os.ReadFile(path)
		if err == nil && bytes.Equal(old, content) {
			continue
		}
		if check {
			errs = append(errs, fmt.Errorf("%s is not what its .proto file generates: run make generate", name))
		} else {
			errs = append(errs, os.WriteFile(path, content, 0o644))
		}
	}
	return errors.Join(errs...)
}

// find lists the files below dir whose names end in suffix, with slashes and relative to dir, sorted.
func find(dir, suffix string) ([]string, error) {
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, suffix) {
			names = append(names, path)
		}
		return err
	})
	return names, err
}

// generate returns the content of the Go files of the protos, by their names relative to dir.
func generate(ctx context.Context, dir string, protos []string) (map[string][]byte, error) {
	compiler := protocompile.Compiler{
		Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
			ImportPaths: []string{dir},
		}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(ctx, protos...)
	if err != nil {
		return nil, err
	}
	req := &pluginpb.CodeGeneratorRequest{
		FileToGenerate: protos,
		Parameter:      proto.String("module=" + importRoot),
	}
	seen := map[string]bool{}
	for _, file := range files {
		req.ProtoFile = appendFile(req.ProtoFile, seen, file)
	}
	in, err := proto.Marshal(req)
	if err != nil {
		return nil, err
	}
	plugin := exec.CommandContext(ctx, "go", "tool", "protoc-gen-go")
	plugin.Stdin, plugin.Stderr = bytes.NewReader(in), os.Stderr
	out, err := plugin.Output()
	if err != nil {
		return nil, fmt.Errorf("protoc-gen-go: %w", err)
	}
	var resp pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &resp); err != nil {
		return nil, fmt.Errorf("answer of protoc-gen-go: %w", err)
	}
	if resp.Error != nil {
		return nil, fmt.Errorf("protoc-gen-go: %s", resp.GetError())
	}
	generated := make(map[string][]byte, len(resp.File))
	for _, file := range resp.File {
		generated[file.GetName()] = []byte(file.GetContent())
	}
	return generated, nil
}

// appendFile appends the file after everything that it imports, each file once: the order that plugins rely on.
func appendFile(
	dst []*descriptorpb.FileDescriptorProto, seen map[string]bool, file protoreflect.FileDescriptor,
) []*descriptorpb.FileDescriptorProto {
	if seen[file.Path()] {
		return dst
	}
	seen[file.Path()] = true
	imports := file.Imports()
	for i := range imports.Len() {
		dst = appendFile(dst, seen, imports.Get(i).FileDescriptor)
	}
	return append(dst, protoutil.ProtoFromFileDescriptor(file))
}
