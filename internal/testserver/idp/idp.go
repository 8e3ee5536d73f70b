// Package idp is an identity provider of OpenID Connect in the process of the test: a discovery document, a set of keys and
// a token endpoint, as Keycloak has them. It is a plain HTTP server on the loopback interface, so that clients of other
// languages and processes can use it too.
package idp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Claims are what a token says.
type Claims map[string]any

// Lifespan is how long tokens are valid that say nothing else.
const Lifespan = time.Hour

// Server is an identity provider. It is safe for concurrent use.
type Server struct {
	// URL is that of the server.
	URL string
	// Issuer is what tokens have as iss.
	Issuer string
	// Discovery is the URL of the discovery document: auth_discovery_url.
	Discovery string

	mu       sync.Mutex
	keys     []jose.JSONWebKey // private, as published; of each kind the last one signs
	made     int               // how many times keys were made
	clients  map[string]account
	users    map[string]account
	requests map[string]int
	down     bool
}

type account struct {
	secret string
	claims Claims
}

// Start starts a server that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{clients: map[string]account{}, users: map[string]account{}, requests: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /realms/feast/.well-known/openid-configuration", s.discovery)
	mux.HandleFunc("GET /realms/feast/certs", s.certs)
	mux.HandleFunc("POST /realms/feast/token", s.token)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.requests[r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]]++
		down := s.down
		s.mu.Unlock()
		if down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	s.URL = h.URL
	s.Issuer = h.URL + "/realms/feast"
	s.Discovery = s.Issuer + "/.well-known/openid-configuration"
	if err := s.rotate(); err != nil {
		t.Fatal(err)
	}
	return s
}

// Rotate has new keys sign from now on. The old ones stay published until [Server.Retire].
func (s *Server) Rotate(t testing.TB) {
	t.Helper()
	if err := s.rotate(); err != nil {
		t.Fatal(err)
	}
}

func (s *Server) rotate() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	pair, err := made(s.made)
	if err != nil {
		return err
	}
	s.made++
	for i, k := range pair {
		s.keys = append(s.keys, jose.JSONWebKey{Key: k, KeyID: fmt.Sprintf("%s-%d", []string{"rsa", "ec"}[i], s.made), Use: "sig"})
	}
	return nil
}

// Retire takes all keys out of the published set but the last of each kind.
func (s *Server) Retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = s.keys[len(s.keys)-2:]
}

// Down has the server answer nothing but errors until it is called with false.
func (s *Server) Down(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// AddClient lets a client have tokens by its secret (the grant client_credentials). claims are those of its tokens, beside
// what all have.
func (s *Server) AddClient(id, secret string, claims Claims) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients[id] = account{secret, claims}
}

// AddUser lets a user have tokens by a password, through any client (the grant password).
func (s *Server) AddUser(name, password string, claims Claims) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users[name] = account{password, claims}
}

// Requests returns how often the last part of a path was asked for: "openid-configuration", "certs" or "token".
func (s *Server) Requests(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[name]
}

// Token returns a token signed with RS256. Claims that it lacks are added: iss, sub, iat, and exp in an hour; one that is
// nil is left out. An exp that is a time.Duration is one from now on.
func (s *Server) Token(claims Claims) string { return s.TokenBy(jose.RS256, claims) }

// TokenBy is [Server.Token] with another algorithm: RS256 to RS512, PS256 to PS512, or ES256.
func (s *Server) TokenBy(alg jose.SignatureAlgorithm, claims Claims) string {
	s.mu.Lock()
	key := s.keys[len(s.keys)-2]
	if alg == jose.ES256 {
		key = s.keys[len(s.keys)-1]
	}
	s.mu.Unlock()
	all := Claims{"iss": s.Issuer, "sub": "5f0c", "iat": time.Now().Unix(), "exp": time.Now().Add(Lifespan).Unix()}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	if after, ok := all["exp"].(time.Duration); ok {
		all["exp"] = time.Now().Add(after).Unix()
	}
	text, err := Sign(alg, key.Key, key.KeyID, all)
	if err != nil {
		panic(err) // a fault of the test
	}
	return text
}

// Sign signs claims as they are. An empty kid is left out.
func Sign(alg jose.SignatureAlgorithm, key any, kid string, claims Claims) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	if kid != "" {
		key = jose.JSONWebKey{Key: key, KeyID: kid}
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

func (s *Server) discovery(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"issuer": s.Issuer, "authorization_endpoint": s.Issuer + "/auth",
		"token_endpoint": s.Issuer + "/token", "jwks_uri": s.Issuer + "/certs",
	})
}

func (s *Server) certs(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var set jose.JSONWebKeySet
	for _, k := range s.keys {
		set.Keys = append(set.Keys, k.Public())
	}
	answer(w, http.StatusOK, set)
}

func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	s.mu.Lock()
	client, known := s.clients[id]
	user, isUser := s.users[r.PostFormValue("username")]
	s.mu.Unlock()
	if !known || client.secret != secret {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	claims := Claims{"azp": id}
	switch r.PostFormValue("grant_type") {
	case "client_credentials":
		claims["preferred_username"] = "service-account-" + id
		maps.Copy(claims, client.claims)
	case "password":
		if !isUser || user.secret != r.PostFormValue("password") {
			answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant", "error_description": "Invalid user credentials"})
			return
		}
		claims["preferred_username"] = r.PostFormValue("username")
		maps.Copy(claims, user.claims)
	default:
		answer(w, http.StatusBadRequest, map[string]any{"error": "unsupported_grant_type"})
		return
	}
	answer(w, http.StatusOK, map[string]any{
		"access_token": s.Token(claims), "token_type": "Bearer", "expires_in": int(Lifespan / time.Second),
	})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // to a client that may have gone
}

// pairs are keys, an RSA and an EC one each. All servers of a process have the same, since making them takes long.
var pairs struct {
	sync.Mutex
	all [][2]crypto.Signer
}

// made returns the nth pair.
func made(n int) ([2]crypto.Signer, error) {
	pairs.Lock()
	defer pairs.Unlock()
	for len(pairs.all) <= n {
		r, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return [2]crypto.Signer{}, err
		}
		e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return [2]crypto.Signer{}, err
		}
		pairs.all = append(pairs.all, [2]crypto.Signer{r, e})
	}
	return pairs.all[n], nil
}
