package pull

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
)

// party names who sent an answer: the registry, or the storage that it redirected to.
func (s *session) party(resp *http.Response) string {
	if s.isOwn(resp) {
		return "registry " + s.key.host
	}
	return "storage " + resp.Request.URL.Host + ", where registry " + s.key.host + " redirects to,"
}

// isOwn reports whether an answer is of the session's own host.
func (s *session) isOwn(resp *http.Response) bool {
	return resp.Request == nil || resp.Request.URL == nil || resp.Request.URL.Host == s.key.host
}

// sentAccount returns the source of the account that the answered request carried, "" if it
// carried none.
func (s *session) sentAccount(resp *http.Response) string {
	if resp.Request == nil || resp.Request.Header.Get("Authorization") == "" {
		return ""
	}
	return s.account()
}

// words returns what an error answer says about its reason, on one line that is safe to
// print, "" for nothing. It reads and closes the body.
func words(resp *http.Response) string {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	resp.Body.Close()
	raw = bytes.TrimSpace(raw)
	if err != nil || len(raw) == 0 {
		return ""
	}
	if page := asPage(resp.Header, raw); page != nil {
		return page.what()
	}
	switch raw[0] {
	case '{':
		return shorten(jsonWords(raw))
	case '<':
		return shorten(xmlWords(raw))
	}
	if mt := contentType(resp.Header); mt != "" && !strings.HasPrefix(mt, "text/") {
		return ""
	}
	return shorten(string(raw))
}

// shorten makes text from a server safe to print and short.
func shorten(s string) string {
	if s = oneLine(s); len([]rune(s)) > 200 {
		s = string([]rune(s)[:200]) + "…"
	}
	return s
}

// jsonWords returns the messages of an error in JSON: those of the distribution
// specification, or the member by which token servers and gateways explain themselves.
func jsonWords(raw []byte) string {
	var list struct {
		Errors []struct {
			Code    string          `json:"code"`
			Message string          `json:"message"`
			Detail  json.RawMessage `json:"detail"`
		} `json:"errors"`
	}
	var msgs []string
	if json.Unmarshal(raw, &list) == nil {
		for _, e := range list.Errors {
			text := e.Message
			if text == "" {
				text = e.Code
			}
			var detail string
			if json.Unmarshal(e.Detail, &detail) == nil && detail != "" && detail != text {
				text = strings.TrimSpace(text + ": " + detail)
			}
			if text != "" && len(msgs) < 3 {
				msgs = append(msgs, text)
			}
		}
	}
	if len(msgs) > 0 {
		return strings.Join(msgs, "; ")
	}
	var other map[string]json.RawMessage
	if json.Unmarshal(raw, &other) != nil {
		return ""
	}
	for _, key := range []string{"error_description", "message", "details", "detail", "reason", "error"} {
		var text string
		if json.Unmarshal(other[key], &text) == nil && text != "" {
			return text
		}
	}
	return ""
}

var (
	xmlCode    = regexp.MustCompile(`(?s)<Code>([^<]{1,200})</Code>`)
	xmlMessage = regexp.MustCompile(`(?s)<Message>([^<]{1,500})</Message>`)
	pageTitle  = regexp.MustCompile(`(?is)<title[^>]*>([^<]{1,500})`)
)

// xmlWords returns code and message of an object storage's error.
func xmlWords(raw []byte) string {
	var parts []string
	for _, re := range []*regexp.Regexp{xmlCode, xmlMessage} {
		if m := re.FindSubmatch(raw); m != nil {
			parts = append(parts, string(m[1]))
		}
	}
	return strings.Join(parts, ": ")
}

// asPage returns what a body is when it is a page for people or empty, or nil.
func asPage(h http.Header, raw []byte) *PageError {
	raw = bytes.TrimSpace(raw)
	start := bytes.ToLower(raw[:min(len(raw), 512)])
	mt := contentType(h)
	switch {
	case len(raw) == 0:
		return &PageError{}
	case raw[0] == '{':
		return nil
	case strings.Contains(mt, "html"):
	case bytes.HasPrefix(start, []byte("<!doctype html")), bytes.Contains(start, []byte("<html")):
		mt = "text/html"
	default:
		return nil
	}
	page := &PageError{Type: oneLine(mt)}
	if m := pageTitle.FindSubmatch(raw[:min(len(raw), maxErrorBody)]); m != nil {
		page.Title = shorten(string(m[1]))
	}
	return page
}

// PageError reports an answer that is a page for people, as of a login, a firewall or a
// captive portal, or that is empty.
type PageError struct {
	Name  string // image asked for; empty for a token
	By    string // who answered: "registry quay.io", "token server auth.docker.io"
	Want  string // what was asked for: "manifest", "token"
	Type  string // media type, "text/html"; empty for an empty answer
	Title string // of the page, one line; may be empty
}

// Error returns a line with who answered and the title of the page.
func (e *PageError) Error() string {
	s := fmt.Sprintf("%s answered with %s instead of a %s", e.By, e.what(), e.Want)
	if e.Name != "" {
		s = e.Name + ": " + s
	}
	return s
}

func (e *PageError) what() string {
	switch {
	case e.Type == "":
		return "an empty body"
	case e.Title == "":
		return "a page (" + e.Type + ")"
	}
	return fmt.Sprintf("a page (%s: %q)", e.Type, e.Title)
}

// statusError returns the typed error of an HTTP answer that is not the expected one.
func statusError(resp *http.Response, s *session, name string) error {
	said := words(resp)
	switch code := resp.StatusCode; {
	case code == http.StatusProxyAuthRequired:
		return proxyRefused(resp.Request, code)
	case (code == http.StatusUnauthorized || code == http.StatusForbidden) && s.isOwn(resp):
		e := &AuthError{Host: s.key.host, Name: name, Source: s.sentAccount(resp), Status: code, Detail: said, session: s}
		if e.Source == "" {
			e.Unsent, e.Why = s.keptBack()
		}
		e.head = resp.Request != nil && resp.Request.Method == http.MethodHead
		return e
	case code == http.StatusNotFound, code == http.StatusGone, code == http.StatusUnavailableForLegalReasons:
		return &NotFoundError{Host: s.key.host, Name: name, Status: code, Detail: said}
	case code == http.StatusTooManyRequests:
		e := &RateLimitError{Host: s.key.host, Name: name, Source: s.sentAccount(resp), Detail: said}
		e.setReset(resp.Header)
		return e
	}
	text := fmt.Sprintf("%s answered %s%s", s.party(resp), statusText(resp), inBrackets(said))
	if name != "" {
		text = name + ": " + text
	}
	return fmt.Errorf("%s", text)
}

// statusText returns "503 Service Unavailable", with the time that the server stated.
func statusText(resp *http.Response) string {
	text := strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode)))
	if after := retryAfter(resp.Header, now()); after > 0 {
		text += ", try again at " + now().Add(after).UTC().Format(resetLayout)
	}
	return text
}

// inBrackets returns a server's own words for the end of a message.
func inBrackets(said string) string {
	if said == "" {
		return ""
	}
	return fmt.Sprintf(" (%q)", said)
}
