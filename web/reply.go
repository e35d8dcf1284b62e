package web

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// apiError is an error as the API tells it:
//
//	{"error": {"code": "unknown_agent", "message": "there is no agent \"eve\""}}
//
// Programs read the code, people the message.
type apiError struct {
	status        int
	code, message string
}

func (e *apiError) Error() string { return e.message }

func (e *apiError) MarshalJSON() ([]byte, error) {
	type body struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	return json.Marshal(struct {
		Error body `json:"error"`
	}{body{e.code, e.message}})
}

func fail(w http.ResponseWriter, err *apiError) { reply(w, err.status, err) }

// reply writes a value as JSON. A client that went away is not our trouble.
func reply(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","message":"the answer could not be written"}}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// readJSON reads a request's body into v, which must name every key in it. The
// content type is required because a form of another site can't send it.
func readJSON(r *http.Request, v any) *apiError {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return &apiError{http.StatusUnsupportedMediaType, "not_json", "send the body as Content-Type: application/json"}
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		switch _, err = d.Token(); err {
		case io.EOF:
			return nil
		case nil:
			err = errors.New("there is more after the JSON value")
		}
	}
	if _, long := errors.AsType[*http.MaxBytesError](err); long {
		return &apiError{http.StatusRequestEntityTooLarge, "too_long", "the body is longer than " + strconv.Itoa(maxBody) + " bytes"}
	}
	return &apiError{http.StatusBadRequest, "bad_json", "the body can't be read: " + err.Error()}
}

// methods is what answers each method of a path; HEAD is GET's.
type methods map[string]http.Handler

func (m methods) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if h := m[method]; h != nil {
		h.ServeHTTP(w, r)
		return
	}
	allowed := strings.Join(slices.Sorted(maps.Keys(m)), ", ")
	w.Header().Set("Allow", allowed)
	fail(w, &apiError{http.StatusMethodNotAllowed, "wrong_method", "use " + allowed})
}

func notFound(w http.ResponseWriter, r *http.Request) {
	fail(w, &apiError{http.StatusNotFound, "not_found", "there is nothing at this path"})
}

// counted counts the answers of a route, and ends a panic there: it is answered
// with 500 and logged, and costs nobody else anything.
func (s *Server) counted(route string, h http.Handler) http.Handler {
	requests := s.requests.MustCurryWith(prometheus.Labels{"route": route})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		defer func() {
			p := recover()
			if p == http.ErrAbortHandler { // the answer can't be brought to its end: the client is to see that
				requests.WithLabelValues("aborted").Inc()
				panic(p)
			}
			if p != nil {
				s.log.Error("panic while answering an HTTP request", "route", route, "panic", p)
				if rec.status == 0 {
					fail(rec, &apiError{http.StatusInternalServerError, "internal", "an error of ours; it has been logged"})
				}
			}
			requests.WithLabelValues(strconv.Itoa(rec.code())).Inc()
		}()
		h.ServeHTTP(rec, r)
	})
}

// recorder remembers the status that was written.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	r.status = r.code()
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}
