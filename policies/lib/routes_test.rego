package stepward.lib.routes_test

import rego.v2

import data.stepward.lib.routes

request(method, segments) := {"method": method, "host": "app.example.com", "segments": segments}

hit(entry, req) if routes.matches(entry, req)

test_exact if hit({"path": "/a/b"}, request("GET", ["a", "b"]))

test_exact_is_not_a_prefix if not hit({"path": "/a"}, request("GET", ["a", "b"]))

test_final_slash_of_the_pattern if hit({"path": "/a/"}, request("GET", ["a"]))

test_root if hit({"path": "/"}, request("GET", []))

test_one_segment if hit({"path": "/a/*/c"}, request("GET", ["a", "b", "c"]))

test_one_segment_is_not_two if not hit({"path": "/a/*"}, request("GET", ["a", "b", "c"]))

test_one_segment_is_not_none if not hit({"path": "/a/*"}, request("GET", ["a"]))

test_rest if hit({"path": "/a/**"}, request("GET", ["a", "b", "c"]))

test_rest_may_be_empty if hit({"path": "/a/**"}, request("GET", ["a"]))

test_rest_of_another_folder if not hit({"path": "/a/**"}, request("GET", ["ab"]))

test_everything if hit({"path": "/**"}, request("GET", []))

test_method if hit({"path": "/a", "methods": ["POST"]}, request("POST", ["a"]))

test_other_method if not hit({"path": "/a", "methods": ["POST"]}, request("GET", ["a"]))

test_host if hit({"path": "/a", "hosts": ["app.example.com"]}, request("GET", ["a"]))

test_other_host if not hit({"path": "/a", "hosts": ["other.example.com"]}, request("GET", ["a"]))

test_host_that_is_not_known if not hit({"path": "/a", "hosts": ["app.example.com"]}, {"method": "GET", "segments": ["a"]})

safely := {"path": "/a", "safe_methods": ["GET", "HEAD", "OPTIONS"]}

test_safe_methods if {
	every method in ["GET", "HEAD", "OPTIONS"] {
		not hit(safely, request(method, ["a"]))
	}
}

test_every_other_method if {
	every method in ["POST", "PUT", "PATCH", "DELETE", "FOO", "PROPPATCH", "LINK", "TRACE", "post", "get", ""] {
		hit(safely, request(method, ["a"]))
	}
}

test_a_method_that_nobody_listed if {
	every method in ["FOO", "PROPPATCH", "LINK", "TRACE", "post"] {
		hit({"path": "/a", "methods": ["POST"]}, request(method, ["a"]))
		hit({"path": "/a", "methods": ["GET", "DELETE"]}, request(method, ["a"]))
		not hit({"path": "/a", "methods": ["GET", "HEAD"]}, request(method, ["a"]))
	}
}

test_an_everyday_method_that_is_not_listed if {
	every method in ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"] {
		not hit({"path": "/a", "methods": ["POST"]}, request(method, ["a"]))
	}
}

test_safe_methods_of_another_type if {
	every value in ["GET", 1, null, [["GET"]]] {
		hit({"path": "/a", "safe_methods": value}, request("GET", ["a"]))
	}
}
