//go:build remote

package main

import _ "github.com/feastgo/feast/registry/remote"
