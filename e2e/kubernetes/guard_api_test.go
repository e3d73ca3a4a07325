// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package kubernetes_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// apiClient talks to the API server from inside the network namespace.
type apiClient struct {
	http  *http.Client
	token string
}

func (n *node) api(t *testing.T, token string) apiClient {
	t.Helper()
	pem, err := os.ReadFile(n.root + "/pki/apiserver.crt")
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	transport := &http.Transport{DialContext: n.dial, DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	return apiClient{&http.Client{Transport: transport, Timeout: time.Minute}, token}
}

// do sends a request and returns the status and the body of the answer.
func (c apiClient) do(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+serviceIP+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPatch {
		req.Header.Set("Content-Type", "application/merge-patch+json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// ownToken is the one that kubelet gave the guard.
func (n *node) ownToken(t *testing.T, guard pod) string {
	t.Helper()
	files, _ := filepath.Glob(fmt.Sprintf("%s/kubelet/pods/%s/volumes/kubernetes.io~projected/*/token", n.root, guard.Metadata.UID))
	if len(files) != 1 {
		t.Fatalf("the guard's pod has %d tokens", len(files))
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

const eventBody = `{"apiVersion":"v1","kind":"Event","metadata":{"name":"tried","namespace":"` + shop + `"},"reason":"Tried","message":"m","type":"Normal",` +
	`"involvedObject":{"kind":"Pod","namespace":"` + shop + `","name":"child"},"source":{"component":"test"}}`

// forbidden is what nobody but an administrator may do. Each would be fine for
// one: dryRun makes the API server look at the request and change nothing.
var forbidden = [][3]string{
	{"GET", "/api/v1/namespaces/" + shop + "/events/tried", ""},
	{"GET", "/api/v1/namespaces/" + shop + "/events", ""},
	{"GET", "/api/v1/events?limit=1", ""},
	{"PUT", "/api/v1/namespaces/" + shop + "/events/tried?dryRun=All", eventBody},
	{"DELETE", "/api/v1/namespaces/" + shop + "/events/tried?dryRun=All", ""},
	{"DELETE", "/api/v1/namespaces/" + shop + "/events?dryRun=All", ""},
	{"GET", "/apis/events.k8s.io/v1/namespaces/" + shop + "/events", ""},
	{"GET", "/api/v1/pods?limit=1", ""},
	{"GET", "/api/v1/namespaces/" + shop + "/pods", ""},
	{"GET", "/api/v1/namespaces/" + shop + "/pods/child", ""},
	{"GET", "/api/v1/namespaces/" + shop + "/pods/child/log?container=main", ""},
	{"PATCH", "/api/v1/namespaces/" + shop + "/pods/child?dryRun=All", `{"metadata":{"labels":{"a":"b"}}}`},
	{"PATCH", "/api/v1/namespaces/" + shop + "/pods/child/status?dryRun=All", `{"status":{"message":"m"}}`},
	{"DELETE", "/api/v1/namespaces/" + shop + "/pods/child?dryRun=All", ""},
	{"POST", "/api/v1/namespaces/" + shop + "/pods/child/eviction?dryRun=All", `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"child","namespace":"` + shop + `"}}`},
	{"POST", "/api/v1/namespaces/" + shop + "/pods?dryRun=All", `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"mine"},"spec":{"containers":[{"name":"c","image":"i"}]}}`},
	{"GET", "/api/v1/secrets?limit=1", ""},
	{"GET", "/api/v1/namespaces/" + namespace + "/secrets", ""},
	{"GET", "/api/v1/configmaps?limit=1", ""},
	{"POST", "/api/v1/namespaces/" + namespace + "/configmaps?dryRun=All", `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"mine"}}`},
	{"GET", "/api/v1/namespaces", ""},
	{"GET", "/api/v1/nodes", ""},
	{"PATCH", "/api/v1/nodes/" + nodeName + "?dryRun=All", `{"metadata":{"labels":{"a":"b"}}}`},
	{"GET", "/apis/apps/v1/daemonsets", ""},
	{"PATCH", "/apis/apps/v1/namespaces/" + namespace + "/daemonsets/" + guardName + "?dryRun=All", `{"metadata":{"labels":{"a":"b"}}}`},
	{"GET", "/api/v1/serviceaccounts?limit=1", ""},
	{"POST", "/api/v1/namespaces/" + namespace + "/serviceaccounts/" + guardName + "/token?dryRun=All", `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{"expirationSeconds":600}}`},
	{"GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles?limit=1", ""},
	{"POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings?dryRun=All", `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"mine"},` +
		`"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"cluster-admin"}}`},
	{"GET", "/metrics", ""},
}

// checkGuardAPI tries what the guard's own token may do: write Events, and
// nothing else.
func (n *node) checkGuardAPI(t *testing.T, guard pod) {
	admin, own := n.api(t, "admin-token"), n.api(t, n.ownToken(t, guard))
	events := "/api/v1/namespaces/" + shop + "/events"
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", events, eventBody, http.StatusCreated},
		{"PATCH", events + "/tried", `{"count":2}`, http.StatusOK},
	} {
		if status, body := own.do(t, c.method, c.path, c.body); status != c.want {
			t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, status, c.want, body)
		}
	}
	for _, r := range forbidden {
		if status, body := own.do(t, r[0], r[1], r[2]); status != http.StatusForbidden {
			t.Errorf("%s %s: %d, want it forbidden: %s", r[0], r[1], status, body)
		}
		if status, body := admin.do(t, r[0], r[1], r[2]); status/100 != 2 {
			t.Errorf("%s %s is forbidden to the guard, but an administrator gets %d: it shows nothing: %s", r[0], r[1], status, body)
		}
	}
	for _, space := range []string{shop, namespace, "kube-system"} {
		n.checkRules(t, own, space)
	}
	if status, body := admin.do(t, "DELETE", events+"/tried", ""); status != http.StatusOK {
		t.Errorf("delete the Event: %d: %s", status, body)
	}
	t.Logf("%d requests were refused", len(forbidden))
}

// checkRules compares the API server's own list of what the token may do in a
// namespace with what the chart gives. Everybody may ask about oneself.
func (n *node) checkRules(t *testing.T, own apiClient, space string) {
	t.Helper()
	body := fmt.Sprintf(`{"apiVersion":"authorization.k8s.io/v1","kind":"SelfSubjectRulesReview","spec":{"namespace":%q}}`, space)
	status, answer := own.do(t, "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body)
	var review struct {
		Status struct {
			ResourceRules []struct{ Verbs, APIGroups, Resources []string }
		}
	}
	if err := json.Unmarshal([]byte(answer), &review); err != nil || status != http.StatusCreated {
		t.Fatalf("ask for the rules: %d, %v: %s", status, err, answer)
	}
	found := false
	for _, r := range review.Status.ResourceRules {
		self := !slices.ContainsFunc(r.Resources, func(s string) bool { return !strings.HasPrefix(s, "selfsubject") })
		switch {
		case slices.Equal(r.Resources, []string{"events"}) && slices.Equal(r.APIGroups, []string{""}) && slices.Equal(r.Verbs, []string{"create", "patch"}):
			found = true
		case self && slices.Equal(r.Verbs, []string{"create"}):
		default:
			t.Errorf("in %s the guard may also %v %v of %q", space, r.Verbs, r.Resources, r.APIGroups)
		}
	}
	if !found {
		t.Errorf("in %s the guard may not write events: %+v", space, review.Status.ResourceRules)
	}
}
