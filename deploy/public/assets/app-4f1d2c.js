// Stands for the bundle that `npm run build` leaves.
document.getElementById("root").textContent = "myproject";
