"""What Evolution API says, read into the values of `base`.

Everything here is pure: an `Answer` (or a delivery's body) goes in, a value comes out or a
`GatewayError` is raised. Evolution hides errors in a 200, says "not connected" in five
ways and answers 404 for a wrong verb as for a missing instance: all of that ends here.

`fault` says what is wrong with an answer, `reply` reads the answers to calls, `delivery`
the bodies of webhooks, `value` the single values in both.

Source:
    Recorded on Evolution API 2.3.7 (Baileys 7.0.0-rc.9); 2.4.0-rc2 from its source.
"""
