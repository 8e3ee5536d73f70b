//go:build sqlite

package main

import _ "github.com/feastgo/feast/online/sqlite"
