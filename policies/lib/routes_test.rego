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
