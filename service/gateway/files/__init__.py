"""Files: POST /translate/file answers small ones at once; large ones become jobs that outlive the gateway."""
