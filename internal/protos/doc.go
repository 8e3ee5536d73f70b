// Package protos is the root of the import paths of Feast's protobuf files. The messages generated from them are the
// packages below it; services are in the descriptors only, so that nothing here needs gRPC.
//
// The files are registered under Feast's own paths and full names. A program that also links Feast's own Go module
// registers each of them twice, which the protobuf runtime answers with a panic at start.
package protos
