//go:build kubernetes

package main

import _ "github.com/feastgo/feast/permissions/kubernetes"
