package oidc

import (
	"crypto/sha256"
	"sync"
	"time"
	"unsafe"

	"github.com/feastgo/feast/permissions"
)

// What a generation of verified tokens has at most: tokens, and bytes of these, which bound what their users take.
const (
	maxVerified      = 4096
	maxVerifiedBytes = 8 << 20
)

// verified are tokens that were verified not long ago, by their hashes, in two generations: when the younger one is full,
// it becomes the older one, which is forgotten. It is safe for concurrent use.
type verified struct {
	mu    sync.RWMutex
	young map[tokenHash]verifiedUser
	old   map[tokenHash]verifiedUser
	size  int // bytes of the tokens in young
}

type verifiedUser struct {
	user  permissions.User
	until time.Time
}

type tokenHash [sha256.Size]byte

func hash(token string) tokenHash {
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(token), len(token)))
}

// get returns the user of a token. Its lists are shared.
func (v *verified) get(h tokenHash, now time.Time) (permissions.User, bool) {
	v.mu.RLock()
	u, ok := v.young[h]
	if !ok {
		u, ok = v.old[h]
	}
	v.mu.RUnlock()
	return u.user, ok && now.Before(u.until)
}

// put keeps the user of a token that has a number of bytes.
func (v *verified) put(h tokenHash, size int, u permissions.User, until time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.young == nil || len(v.young) >= maxVerified || v.size+size > maxVerifiedBytes {
		v.old, v.young, v.size = v.young, map[tokenHash]verifiedUser{}, 0
	}
	v.young[h] = verifiedUser{u, until}
	v.size += size
}
