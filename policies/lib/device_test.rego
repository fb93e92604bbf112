package stepward.lib.device_test

import rego.v2

import data.stepward.lib.device

test_certificate if device.by_certificate({"principal": "spiffe://example.com/device/7"}, ["spiffe://example.com/device/"])

test_no_certificate if {
	every source in [{}, {"principal": ""}, {"principal": "spiffe://example.com/service/7"}, {"principal": "x spiffe://example.com/device/7"}] {
		not device.by_certificate(source, ["spiffe://example.com/device/"])
	}
}

test_an_empty_prefix_is_none if not device.by_certificate({"principal": "x"}, [""])

test_header if device.by_header({"header_values": {"x-device": ["compliant"]}}, "x-device", "compliant")

test_no_header if {
	every values in [{}, {"x-device": []}, {"x-device": ["no"]}, {"x-device": ["compliant", "compliant"]}, {"x-device": ["no", "compliant"]}] {
		not device.by_header({"header_values": values}, "x-device", "compliant")
	}
}
