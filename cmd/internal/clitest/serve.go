package clitest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// serve serves the files of a directory over HTTP until the script ends, and sets a
// variable to the URL. Paths below /status/CODE answer with that status; paths below /login
// require the user ann with the password s3cret.
//
//	serve VARIABLE DIR
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: serve VARIABLE DIR")
	}
	files := http.FileServer(http.Dir(ts.MkAbs(args[1])))
	mux := http.NewServeMux()
	mux.Handle("/", files)
	mux.HandleFunc("/status/{code}", func(w http.ResponseWriter, r *http.Request) {
		var code int
		if _, err := fmt.Sscan(r.PathValue("code"), &code); err != nil || code < 200 || code > 599 {
			code = http.StatusNotFound
		}
		w.WriteHeader(code)
	})
	mux.Handle("/login/", http.StripPrefix("/login", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "ann" || password != "s3cret" {
			http.Error(w, "unauthorized", http.StatusUnauthorized)
			return
		}
		files.ServeHTTP(w, r)
	})))
	srv := httptest.NewServer(mux)
	ts.Defer(srv.Close)
	ts.Setenv(args[0], strings.TrimSuffix(srv.URL, "/"))
}
