"""The reference application's nodes, alerts, dashboard and stream on Flask, without `await`."""
