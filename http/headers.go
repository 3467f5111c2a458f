package http

// Names and values of headers, in the byte form that fasthttp takes without a
// conversion. They stand for constants: nothing changes them.
var (
	headerAccept        = []byte("Accept-Encoding")
	headerAllow         = []byte("Allow")
	headerAuthenticate  = []byte("Www-Authenticate")
	headerAuthorization = []byte("Authorization")
	headerCacheControl  = []byte("Cache-Control")
	headerConnection    = []byte("Connection")
	headerContentLength = []byte("Content-Length")
	headerContentType   = []byte("Content-Type")
	headerETag          = []byte("ETag")
	headerIfNoneMatch   = []byte("If-None-Match")
	headerLocation      = []byte("Location")
	headerMissing       = []byte("Hotshelf-Missing")
	headerNoSniff       = []byte("X-Content-Type-Options")
	headerOrigin        = []byte("Origin")
	headerPolicy        = []byte("Content-Security-Policy")
	headerRequestID     = []byte("X-Request-Id")
	headerRetryAfter    = []byte("Retry-After")
	headerStale         = []byte("Hotshelf-Stale")
	headerTotal         = []byte("X-Total-Count")
	headerVary          = []byte("Vary")

	headerAllowHeaders = []byte("Access-Control-Allow-Headers")
	headerAllowMethods = []byte("Access-Control-Allow-Methods")
	headerAllowOrigin  = []byte("Access-Control-Allow-Origin")
	headerExpose       = []byte("Access-Control-Expose-Headers")
	headerMaxAge       = []byte("Access-Control-Max-Age")

	valueJSON       = []byte("application/json")
	valueProblem    = []byte("application/problem+json")
	valueYAML       = []byte("application/yaml")
	valueMetrics    = []byte("text/plain; version=0.0.4; charset=utf-8")
	valueGzip       = []byte("gzip")
	valueRevalidate = []byte("public, no-cache")
	valueNoSniff    = []byte("nosniff")
	valueNoStore    = []byte("no-store")
	valueReadOnly   = []byte("GET, HEAD, OPTIONS")

	valueBearer       = []byte(`Bearer realm="hotshelf"`)
	valueInvalidToken = []byte(`Bearer realm="hotshelf", error="invalid_token"`)
	valueGetHead      = []byte("GET, HEAD")

	pathProfiles = []byte("/debug/pprof/")

	// The ways in which an answer may depend on the request's headers.
	varyEncoding       = []byte("Accept-Encoding")
	varyOrigin         = []byte("Origin")
	varyEncodingOrigin = []byte("Accept-Encoding, Origin")

	valueAny     = []byte("*")
	valueHeaders = []byte("Authorization, Content-Type, If-Match, If-None-Match")
	valueMethods = []byte("GET, HEAD, POST, PUT, PATCH, DELETE")
	valueMaxAge  = []byte("86400")
	valueExpose  = []byte("ETag, Location, Retry-After, X-Total-Count, Hotshelf-Missing, Hotshelf-Stale")
)
