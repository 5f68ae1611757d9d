module api-server-proxy/bench/load

go 1.25
