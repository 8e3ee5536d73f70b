//go:build redis

package main

import _ "github.com/feastgo/feast/online/redis"
